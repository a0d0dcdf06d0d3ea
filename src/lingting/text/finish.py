"""The text rules in their order: script, punctuation, spoken numbers, sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lingting.recognition.types import Language, RawWord, Seconds, Sentence
from lingting.text import numbers, punctuation, sentences, spacing
from lingting.text import script as scripts
from lingting.text.script import Script
from lingting.text.words import from_text, one_unit_each


def finish(
    words: Sequence[RawWord],
    language: Language,
    *,
    script: Script = "simplified",
    convert_numbers: bool = False,
    max_sentence_silence: Seconds = 3.0,
    speech: Sequence[tuple[Seconds, Seconds]] = (),
    duration: Seconds | None = None,
    final: bool = True,
) -> list[Sentence]:
    """Sentences for a reader from the words of one utterance as the engine wrote them.

    Args:
        words: in the order said; seconds from the start of the recording.
        max_sentence_silence: a longer pause always ends a sentence.
        speech: spans in which voice activity heard speech, ascending, on the clock of `words`.
        duration: length of the recording; no time lies beyond it.
        final: whether the utterance has ended; its last word then ends a sentence.
    """
    ready = _rules(words, language, script, convert_numbers, speech, final)
    return sentences.split(ready, language, max_sentence_silence, speech, duration)


def finish_text(
    text: str, language: Language, *, script: Script = "simplified", convert_numbers: bool = False, final: bool = True
) -> str:
    """Text for a reader from text without times; applied to its own result it changes nothing."""
    return spacing.join(word.text for word in _rules(from_text(text), language, script, convert_numbers, (), final))


def _rules(
    words: Sequence[RawWord],
    language: Language,
    script: Script,
    convert_numbers: bool,
    speech: Sequence[tuple[Seconds, Seconds]],
    final: bool,
) -> list[RawWord]:
    ready = _in_script(one_unit_each(words), script)
    ready = punctuation.restore(ready, language, speech=speech, final=final)
    return numbers.convert(ready, language) if convert_numbers else ready


def _in_script(words: Sequence[RawWord], script: Script) -> list[RawWord]:
    """Convert all words at once, since OpenCC looks at phrases."""
    whole = scripts.convert("".join(word.text for word in words), script)
    result: list[RawWord] = []
    offset = 0
    for word in words:
        text = whole[offset : offset + len(word.text)]
        offset += len(word.text)
        result.append(word if text == word.text else replace(word, text=text))
    return result
