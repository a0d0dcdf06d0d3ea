"""The text rules in their order: script, punctuation, spoken numbers, sentences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from lingting.domain import Language, RawWord, Seconds, Sentence
from lingting.text import numbers, punctuation, sentences, spacing
from lingting.text import script as scripts
from lingting.text.long_sentences import shorten
from lingting.text.punctuation import DEFAULT_PAUSES, Pauses
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
    pauses: Pauses = DEFAULT_PAUSES,
    is_word: Callable[[str], bool] | None = None,
    punctuated: bool = False,
) -> list[Sentence]:
    """Sentences for a reader from the words of one utterance as the engine wrote them.

    Args:
        words: in the order said; seconds from the start of the recording.
        max_sentence_silence: a longer pause always ends a sentence.
        speech: spans in which somebody is heard, without padding, ascending, on the clock of `words`.
        duration: length of the recording; no time lies beyond it.
        final: whether the utterance has ended; its last word then ends a sentence.
        pauses: see `punctuation.restore`, and so for `is_word` and `punctuated`.
    """
    ready = _in_script(one_unit_each(words), script)
    ready = punctuation.restore(
        ready, language, pauses=pauses, speech=speech, final=final, is_word=is_word, punctuated=punctuated
    )
    if language == "zh" and not punctuated:
        ready = shorten(ready)
    if convert_numbers:
        ready = numbers.convert(ready, language)
    return sentences.split(ready, language, max_sentence_silence, speech, duration)


def finish_text(
    text: str,
    language: Language,
    *,
    script: Script = "simplified",
    convert_numbers: bool = False,
    final: bool = True,
    punctuated: bool = False,
) -> str:
    """Text for a reader from text without times; applied to its own result it changes nothing."""
    words = _in_script(from_text(text), script)
    ready = punctuation.restore(words, language, final=final, punctuated=punctuated)
    if convert_numbers:
        ready = numbers.convert(ready, language)
    return spacing.join(word.text for word in ready)


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
