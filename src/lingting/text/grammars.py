"""wetext's grammars of spoken numbers: 0.5 s and 43 MB to load, so once, and never where somebody waits."""

from __future__ import annotations

import threading
from typing import Any

from lingting.domain import Language

_lock = threading.Lock()
_grammars: dict[Language, Any] = {}
_loading: list[threading.Thread] = []


def digits(cardinal: str, language: Language) -> str:
    """What wetext writes for a cardinal; the first call in a process loads the grammar."""
    return str(_grammar(language).normalize(cardinal))


def load() -> None:
    """Load both grammars now; returns at once when they are."""
    for language in ("zh", "en"):
        _grammar(language)


def loaded() -> bool:
    """Whether `digits` answers at once."""
    return len(_grammars) == 2


def load_in_background() -> None:
    """Begin to load in a thread, if nobody has begun to."""
    with _lock:
        if _loading or loaded():
            return
        _loading.append(threading.Thread(target=load, name="load-grammars", daemon=True))
    _loading[0].start()


def _grammar(language: Language) -> Any:
    found = _grammars.get(language)
    if found is None:
        with _lock:
            found = _grammars.get(language)
            if found is None:
                import wetext

                found = _grammars[language] = wetext.Normalizer(lang=language, operator="itn")
    return found
