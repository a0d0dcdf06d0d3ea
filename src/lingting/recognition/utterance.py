"""What one utterance goes through on either side of the engine: options in, words and sentences out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from lingting.domain import Language, RawWord, RecognitionOptions, Seconds, Sentence, Transcript
from lingting.recognition import latin_words
from lingting.recognition.engine import Heard
from lingting.recognition.latin_words import LatinEar
from lingting.text import grammars, spacing
from lingting.text.finish import finish, finish_text
from lingting.text.script import Script
from lingting.text.words import from_characters, from_text, split_units


@dataclass(frozen=True, slots=True)
class Writing:
    """How text is written.

    Attributes:
        script: Chinese script of the text.
        convert_numbers: spoken numbers become digits even where the caller doesn't ask for it.
        language: the language of all speech; None decides by utterance.
        ear: finds hot words with Latin letters by their sound, or None.
        is_word: whether Han characters are a word, which no comma is put into; None where there is no lexicon.
    """

    script: Script = "simplified"
    convert_numbers: bool = False
    language: Language | None = None
    ear: LatinEar | None = None
    is_word: Callable[[str], bool] | None = None

    def words(self, heard: Heard, offset: Seconds) -> list[RawWord]:
        """The words of an utterance that begins `offset` seconds into the recording."""
        times = heard.times
        if times is None:
            return [replace(word, start=offset, end=offset) for word in from_text(heard.text)]
        words = from_characters(
            heard.text,
            times.start.tolist(),
            times.end.tolist(),
            times.probability.tolist(),
            heard.borders,
        )
        return [replace(word, start=word.start + offset, end=word.end + offset) for word in words]

    def sentences(
        self,
        words: Sequence[RawWord],
        language: Language,
        options: RecognitionOptions,
        *,
        speech: Sequence[tuple[Seconds, Seconds]],
        duration: Seconds,
        final: bool = True,
        punctuated: bool = False,
    ) -> list[Sentence]:
        """Words by the text rules, hot words with Latin letters among them; see `lingting.text.finish`."""
        if self.ear is not None and options.hot_words:
            words = latin_words.written(words, options.hot_words, self.ear)
        return finish(
            words,
            language,
            script=self.script,
            convert_numbers=self.convert_numbers or options.convert_numbers,
            max_sentence_silence=options.max_sentence_silence,
            speech=speech,
            duration=duration,
            final=final,
            is_word=self.is_word,
            punctuated=punctuated,
        )

    def guess(self, text: str, language: Language, options: RecognitionOptions, *, punctuated: bool = False) -> str:
        """An unfinished utterance by the text rules; it ends in no comma or full stop, as it may go on.

        It may be called on the event loop: where the grammar of numbers is not loaded yet, loading begins in a thread
        and numbers stay as they were said.
        """
        convert_numbers = self.convert_numbers or options.convert_numbers
        if convert_numbers and not grammars.loaded():
            grammars.load_in_background()
            convert_numbers = False
        written = finish_text(
            text, language, script=self.script, convert_numbers=convert_numbers, final=False, punctuated=punctuated
        )
        return written.rstrip("，。、,.…")


def transcript(sentences: Sequence[Sentence], duration: Seconds, warning: str | None = None) -> Transcript:
    """A transcript from its sentences; its language is the one most of the text is in."""
    amount: dict[Language, float] = {"zh": 0.0, "en": 0.0}
    for sentence in sentences:
        amount[sentence.language] += sentence.end - sentence.start
    language: Language = "en" if amount["en"] > amount["zh"] else "zh"
    return Transcript(
        spacing.join(word.text for sentence in sentences for word in sentence.words),
        duration,
        language,
        tuple(sentences),
        warning,
    )


def join_texts(before: str, after: str) -> str:
    """Two texts one after the other, with a space between them where the space rule wants one."""
    if not before or not after:
        return before or after
    last, first = split_units(before[-40:])[-1:], split_units(after[:40])[:1]
    if not last or not first:
        return before + after
    apart = len(spacing.join([*last, *first])) > len(last[0]) + len(first[0])
    return f"{before} {after}" if apart else before + after
