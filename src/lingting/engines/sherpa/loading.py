"""From a model's files to a recogniser that is known to work, and what the engines need to know of it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lingting.engines.sherpa import hot_words
from lingting.engines.sherpa.loaders import LOADERS, Loader, Option, call_of, find
from lingting.engines.sherpa.reading import Vocabulary
from lingting.errors import ModelError


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A model as the catalogue or a folder describes it. Plain data, so that it can go to another process.

    Attributes:
        name: its name, for people.
        kind: the kind of loader, a key of `loaders.LOADERS`.
        folder: where its files are.
        roles: files by what they are for, relative to `folder`.
        options: what the catalogue sets beside them.
    """

    name: str
    kind: str
    folder: Path
    roles: Mapping[str, str]
    options: Mapping[str, Option] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A loaded model.

    Attributes:
        inner: the library's recogniser.
        beam: it searches with a beam, so its streams may have hot words.
        spelled: Latin hot words are spelled from pieces.
    """

    loader: Loader
    inner: Any
    vocabulary: Vocabulary
    beam: bool
    spelled: bool

    def for_stream(self, phrases: Sequence[str]) -> tuple[str, dict[str, str]]:
        """Hot words as a stream takes them: the list for beam search, and options; empty where the model can't."""
        if not phrases or self.loader.hot_words is None:
            return "", {}
        if self.loader.hot_words == "prompt":
            return "", {"hotwords": hot_words.for_prompt(phrases)}
        return (hot_words.for_beam(phrases, self.vocabulary, spelled=self.spelled) if self.beam else ""), {}


def load(model: ModelFiles, *, hot_words_wanted: bool = True) -> Loaded:
    """Load a model.

    A transducer is built for beam search where hot words are wanted and can be looked up: its vocabulary has single Han
    characters, or `bpe` names the SentencePiece model that spells them. Its encoder costs the same, the rest about
    twice as much.

    Raises:
        ModelError: something is missing or the library refuses it. Of some files the library ends the process.
    """
    loader = find(model.kind)
    vocabulary = Vocabulary()
    if "tokens" in loader.roles and "tokens" in model.roles:
        vocabulary = Vocabulary.read(model.folder / model.roles["tokens"])
    extra: dict[str, Any] = {}
    with ExitStack() as stack:
        beam = loader.hot_words == "beam" and hot_words_wanted
        spelled = beam and "bpe" in model.roles
        if spelled:
            pieces = stack.enter_context(tempfile.NamedTemporaryFile("w", suffix=".vocab", encoding="utf-8"))
            pieces.write(hot_words.piece_list(model.folder / model.roles["bpe"]))
            pieces.flush()
            unit = "bpe" if not any(len(piece) == 1 and not piece.isascii() for piece in vocabulary.pieces) else ""
            extra = {"modeling_unit": unit or "cjkchar+bpe", "bpe_vocab": pieces.name}
        if beam:
            extra["decoding_method"] = "modified_beam_search"
        factory, arguments = call_of(model.kind, model.folder, model.roles, model.options, **extra)
        try:
            inner = factory(**arguments)
        except (RuntimeError, ValueError, IndexError, AssertionError, OSError) as error:
            raise ModelError(f"sherpa-onnx cannot load the model {model.name}: {error}") from error
    return Loaded(loader, inner, vocabulary, beam, spelled)


__all__ = ["LOADERS", "Loaded", "ModelFiles", "load"]
