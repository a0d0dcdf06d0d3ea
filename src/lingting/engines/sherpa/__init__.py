"""sherpa-onnx: streaming and offline models of many families, batched over users."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lingting.engines.sherpa.loaders import Option, find
from lingting.engines.sherpa.loading import ModelFiles
from lingting.engines.sherpa.offline import OfflineSherpa
from lingting.engines.sherpa.punctuation import Punctuation
from lingting.engines.sherpa.streaming import StreamingSherpa
from lingting.recognition.engine import Rescorer

__all__ = ["ModelFiles", "OfflineSherpa", "StreamingSherpa", "build"]


def build(
    name: str,
    kind: str,
    folder: str,
    roles: Mapping[str, str],
    options: Mapping[str, Option],
    *,
    punctuates: bool,
    rescorer: Rescorer | None = None,
    punctuation: str | None = None,
) -> OfflineSherpa | StreamingSherpa:
    """The engine of a model, of plain data, so that a process of its own can be asked for it.

    Args:
        punctuation: the file of a punctuation model, for text of a model that writes no marks.

    Raises:
        ModelError: see `loading.load`.
    """
    model = ModelFiles(name, kind, Path(folder), roles, options)
    engine = StreamingSherpa if find(kind).streaming else OfflineSherpa
    marks = None if punctuates or punctuation is None else Punctuation(Path(punctuation))
    return engine(model, punctuates=punctuates, rescorer=rescorer, punctuation=marks)
