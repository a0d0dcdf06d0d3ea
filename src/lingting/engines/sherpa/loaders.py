"""The kinds of models that sherpa-onnx loads: what their files are for, and how the library is asked to load them.

To add a kind of model that the library knows is to add an entry to `LOADERS`.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from lingting.domain import Seconds
from lingting.errors import ModelError

Option = str | int | float | bool

_NONE: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Loader:
    """How a kind of model is loaded and used.

    Attributes:
        factory: `Class.method` of the library.
        roles: the keyword argument of each file that it needs, by the file's role in the catalogue.
        options: what the catalogue may set beside the files, by the name of the keyword argument.
        fixed: keyword arguments that are always given.
        most: utterances, or chunks of streams, that are worth decoding together; 1 where the library does them in turn.
        hot_words: how the model is told what to listen for: by beam search over its tokens, by an option of the stream
            that goes into the prompt of a language model, or not at all.
        lead: silence that the model wants before the first sound.
    """

    factory: str
    roles: Mapping[str, str]
    options: frozenset[str] = frozenset()
    fixed: Mapping[str, Any] = field(default_factory=lambda: _NONE)
    most: int = 8
    hot_words: Literal["beam", "prompt"] | None = None
    lead: Seconds = 0.0

    @property
    def streaming(self) -> bool:
        """Whether it hears while someone speaks."""
        return self.factory.startswith("Online")


def _same(*names: str) -> dict[str, str]:
    return {name: name for name in names}


_TRANSDUCER = _same("tokens", "encoder", "decoder", "joiner")
_ONE_MODEL = _same("tokens", "model")
_CHUNKS = 32

LOADERS: Mapping[str, Loader] = MappingProxyType(
    {
        "transducer-streaming": Loader(
            "OnlineRecognizer.from_transducer",
            _TRANSDUCER,
            options=frozenset({"model_type"}),
            fixed={"temperature_scale": 1.0},  # honest log probabilities; the text does not depend on it
            most=_CHUNKS,
            hot_words="beam",
        ),
        "ctc-streaming": Loader("OnlineRecognizer.from_zipformer2_ctc", _ONE_MODEL, most=_CHUNKS),
        "paraformer-streaming": Loader(
            "OnlineRecognizer.from_paraformer",
            _same("tokens", "encoder", "decoder"),
            most=1,
            lead=1.0,
        ),
        "transducer": Loader("OfflineRecognizer.from_transducer", _TRANSDUCER, hot_words="beam"),
        "sense_voice": Loader("OfflineRecognizer.from_sense_voice", _ONE_MODEL, frozenset({"use_itn", "language"})),
        "paraformer": Loader("OfflineRecognizer.from_paraformer", {"tokens": "tokens", "model": "paraformer"}),
        "fire_red_ctc": Loader("OfflineRecognizer.from_fire_red_asr_ctc", _ONE_MODEL),
        "fire_red_aed": Loader("OfflineRecognizer.from_fire_red_asr", _same("tokens", "encoder", "decoder"), most=1),
        "qwen3_asr": Loader(
            "OfflineRecognizer.from_qwen3_asr",
            _same("conv_frontend", "encoder", "decoder", "tokenizer"),
            frozenset({"max_total_len", "max_new_tokens"}),
            most=1,
            hot_words="prompt",
        ),
        "funasr_nano": Loader(
            "OfflineRecognizer.from_funasr_nano",
            _same("encoder_adaptor", "llm", "embedding", "tokenizer"),
            frozenset({"max_new_tokens"}),
            most=1,
            hot_words="prompt",
        ),
    }
)
"""The loaders by the name of a kind of model, which is `engine` in the catalogue."""


def find(kind: str) -> Loader:
    """The loader of a kind of model.

    Raises:
        ModelError: there is none.
    """
    if kind not in LOADERS:
        raise ModelError(f"no engine loads models of the kind {kind!r}; the known kinds are {', '.join(LOADERS)}")
    return LOADERS[kind]


def call_of(
    kind: str, folder: Path, roles: Mapping[str, str], options: Mapping[str, Option] = _NONE, **extra: Any
) -> tuple[Any, dict[str, Any]]:
    """The library's factory for a model and its keyword arguments, which are sure to fit it.

    Args:
        roles: the files of the model, relative to `folder`, by role; roles that the kind doesn't know are left alone.
        options: what the catalogue sets beside the files.
        extra: keyword arguments beyond those.

    Raises:
        ModelError: the library is not installed, or the kind, a role, a file or an option is not as it should be.
    """
    try:
        import sherpa_onnx
    except ImportError as error:
        raise ModelError(
            f"this model needs sherpa-onnx ({error}); install it: pip install 'lingting[sherpa]'"
        ) from error
    loader = find(kind)
    arguments: dict[str, Any] = {"num_threads": 1, **loader.fixed, **extra}
    for role, keyword in loader.roles.items():
        if role not in roles:
            raise ModelError(f"a model of the kind {kind} needs a file for {role!r}, and none is named")
        file = folder / roles[role]
        if not file.exists():
            raise ModelError(f"{file} is missing; `lingting models verify` tells what else is")
        arguments[keyword] = str(file)
    for name, value in options.items():
        if name not in loader.options:
            raise ModelError(f"a model of the kind {kind} has no option {name!r}")
        arguments[name] = value
    class_name, _, method = loader.factory.partition(".")
    factory = getattr(getattr(sherpa_onnx, class_name), method)
    try:
        inspect.signature(factory).bind(**arguments)
    except TypeError as error:
        version = getattr(sherpa_onnx, "__version__", "?")
        raise ModelError(f"sherpa-onnx {version} cannot load models of the kind {kind}: {error}") from error
    return factory, arguments
