"""Tries a model before it is served: loads it and lets it decode in a process of its own.

Libraries end the process over some mistakes in a model's files. So a model of sherpa-onnx is loaded once where that
costs nothing, and the outcome is remembered for as long as no file changes.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from lingting.errors import ModelError
from lingting.models.catalogue import Model

_TIMEOUT_SECONDS = 300.0
_SECONDS_OF_SILENCE = 3
_ELSEWHERE = ("whisper-ctranslate2", "punctuation", "segmentation", "speaker")
"""Kinds whose loaders raise an error, or that are loaded in a process of their own each time."""


def try_once(model: Model, folder: Path, memory: Path) -> None:
    """Load a model in a process of its own and let it decode silence, unless that was done with these very files.

    It takes a third of a second and more the first time, and milliseconds after that.

    Args:
        model: what it is.
        folder: where its files are.
        memory: the file that remembers what was tried.

    Raises:
        ModelError: it cannot be loaded; the message says what the library said.
    """
    if model.engine in _ELSEWHERE:
        return
    mark = _mark(folder, model)
    tried = _read(memory)
    if tried.get(model.name) != mark:
        _load_elsewhere(folder, model)
        _write(memory, {**tried, model.name: mark})


def _load_elsewhere(folder: Path, model: Model) -> None:
    what = {
        "name": model.name,
        "kind": model.engine,
        "folder": str(folder),
        "roles": model.roles,
        "options": model.options,
    }
    try:
        child = subprocess.run(  # noqa: S603
            [sys.executable, "-P", "-m", __name__],
            input=json.dumps(what),
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_TIMEOUT_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise ModelError(f"the model {model.name} was not loaded after {_TIMEOUT_SECONDS:.0f} s") from None
    if child.returncode == 0:
        return
    words = child.stderr.strip().splitlines()
    last = words[-1] if words else "it said nothing"
    if child.returncode == _REFUSED:
        raise ModelError(last)
    ending = f"signal {-child.returncode}" if child.returncode < 0 else f"exit code {child.returncode}"
    raise ModelError(
        f"the model {model.name} in {folder} ended the process that tried to load it ({ending}): {last}; "
        f"its files do not fit one another or the kind {model.engine}"
    )


_REFUSED = 3
"""Exit code of the child where the model was refused in words."""


def _mark(folder: Path, model: Model) -> str:
    """Changes with the model's files, with what is said of them, and with the library."""
    result = hashlib.sha256()
    try:
        library = version("sherpa-onnx")
    except PackageNotFoundError:
        library = ""
    result.update(json.dumps([library, model.engine, model.roles, model.options], sort_keys=True).encode())
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        status = path.stat()
        result.update(f"{path.relative_to(folder)}\0{status.st_size}\0{status.st_mtime_ns}\0".encode())
    return result.hexdigest()


def _read(memory: Path) -> dict[str, str]:
    try:
        found = json.loads(memory.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(memory: Path, tried: dict[str, str]) -> None:
    """Remember what was tried; where that cannot be written, it is tried again next time."""
    try:
        memory.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=memory.parent)
        with os.fdopen(descriptor, "w", encoding="utf-8") as output:
            json.dump(tried, output)
        Path(temporary).replace(memory)
    except OSError:
        pass


def _try(what: dict[str, Any]) -> None:
    """In the child: load the model and decode silence, two utterances at once as a server would."""
    import numpy as np

    from lingting.domain import SAMPLE_RATE
    from lingting.engines.sherpa import ModelFiles, OfflineSherpa, StreamingSherpa
    from lingting.engines.sherpa.loaders import find
    from lingting.recognition.engine import Need, Request

    files = ModelFiles(**{**what, "folder": Path(what["folder"])})
    silence = np.zeros(_SECONDS_OF_SILENCE * SAMPLE_RATE, np.float32)
    if find(files.kind).streaming:
        streaming = StreamingSherpa(files, punctuates=True)
        ears = [streaming.listen(None, ()), streaming.listen(None, ())]
        works = [ear.feed(silence) for ear in ears] + [ear.finish() for ear in ears]
        waiting = [work for work in works if work is not None]
        while waiting:
            outcomes = streaming.step(waiting)
            waiting = [outcome.more for outcome in outcomes if outcome.more is not None]
    else:
        offline = OfflineSherpa(files, punctuates=True)
        outcomes = offline.step([offline.begin(Request(silence, Need.BEST)) for _ in range(2)])
    for outcome in outcomes:
        if outcome.error is not None:
            raise outcome.error


def main() -> None:
    """In the child: refuse in one line on standard error."""
    what = json.load(sys.stdin)
    try:
        _try(what)
    except ModelError as error:
        sys.stderr.write(f"\n{error}\n")
        sys.exit(_REFUSED)
    except Exception as error:
        sys.stderr.write(f"\nthe model {what['name']} cannot decode: {type(error).__name__}: {error}\n")
        sys.exit(_REFUSED)


if __name__ == "__main__":
    main()
