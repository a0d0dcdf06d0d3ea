"""Punctuation from a model of its own (ct-transformer), for models of speech that write none."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np

from lingting.recognition.engine import CharacterTimes, Heard

_MARKS = {"，": ",", "。": ".", "？": "?", "、": ","}
"""What the model writes, and what stands for it behind Latin letters."""


class Punctuation:
    """Marks for finished utterances. Thread-safe; the library ends the process over a file of another kind."""

    def __init__(self, file: Path) -> None:
        import sherpa_onnx

        model = sherpa_onnx.OfflinePunctuationModelConfig(ct_transformer=str(file), num_threads=1)
        self._model = sherpa_onnx.OfflinePunctuation(sherpa_onnx.OfflinePunctuationConfig(model=model))
        self._lock = threading.Lock()

    def mark(self, heard: Heard) -> Heard:
        """What was heard with punctuation; what the library makes of a text beyond marks and spaces is not taken."""
        if not heard.text:
            return heard
        with self._lock:
            written = str(self._model.add_punctuation(heard.text))
        marks = _marks(heard.text, written)
        return heard if marks is None else _marked(heard, marks)


def _marks(text: str, written: str) -> dict[int, str] | None:
    """Where the marks of `written` stand in `text`, by the offset behind which; None where it has other letters."""
    letters = [(place, character) for place, character in enumerate(text) if not character.isspace()]
    marks: dict[int, str] = {}
    found = 0
    for character in written:
        if character.isspace():
            continue
        if found < len(letters) and letters[found][1].lower() == character.lower():
            found += 1
        elif character in _MARKS and found:
            marks[letters[found - 1][0] + 1] = character
        else:
            return None
    return marks if found == len(letters) else None


def _marked(heard: Heard, marks: dict[int, str]) -> Heard:
    """The text with marks behind the characters they belong to, whose times they share."""
    text = ""
    origins: list[int] = []
    for place, character in enumerate(heard.text):
        mark = marks.get(place + 1, "")
        if mark and character.isascii():
            mark = _MARKS[mark]
        text += character + mark
        origins += [place] * (1 + len(mark))
    times = None
    if heard.times is not None:
        index = np.asarray(origins, np.intp)
        times = CharacterTimes(heard.times.start[index], heard.times.end[index], heard.times.probability[index])
    borders = tuple(border + sum(place <= border for place in marks) for border in heard.borders)
    return replace(heard, text=text, times=times, borders=borders, punctuated=True)
