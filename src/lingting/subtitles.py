"""Transcripts as files: plain text, SubRip, WebVTT, JSON and tab-separated values."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

from lingting.domain import Seconds, Sentence, Transcript, Word
from lingting.text import spacing
from lingting.text.words import SENTENCE_ENDS

Format: TypeAlias = Literal["txt", "srt", "vtt", "json", "tsv"]
FORMATS: tuple[Format, ...] = get_args(Format)

LINE_COLUMNS = 42
"""Columns of a subtitle line; a Han character takes two."""

CUE_LINES = 2
CUE_SECONDS: Seconds = 7.0

_CLAUSE_BONUS = 10
"""Columns by which a line break may leave the middle to stand behind a clause."""

_CLAUSE_ENDS = frozenset("，、；：,;:—")
_ENDS = SENTENCE_ENDS | _CLAUSE_ENDS


@dataclass(frozen=True, slots=True)
class Cue:
    """What one subtitle shows: at most two lines of text, and when, in seconds from the start of the recording."""

    text: str
    start: Seconds
    end: Seconds


def render(transcript: Transcript, form: Format) -> str:
    """A transcript as the content of a file, ending in a line break unless it is empty."""
    return _RENDERERS[form](transcript)


def txt(transcript: Transcript) -> str:
    """A sentence a line, behind its speaker where that is known."""
    return "".join(f"{_one_line(_told(sentence, sentence.text))}\n" for sentence in transcript.sentences)


def srt(transcript: Transcript) -> str:
    """SubRip."""
    return "\n".join(
        f"{number}\n{clock(cue.start, ',')} --> {clock(cue.end, ',')}\n{cue.text}\n"
        for number, cue in enumerate(cues(transcript), 1)
    )


def vtt(transcript: Transcript) -> str:
    """WebVTT (W3C)."""
    blocks = [f"{clock(cue.start)} --> {clock(cue.end)}\n{_escaped(cue.text)}\n" for cue in cues(transcript)]
    return "\n".join(["WEBVTT\n", *blocks])


def tsv(transcript: Transcript) -> str:
    """Start and end in milliseconds and text, a sentence a line, under a line of names."""
    rows = ["start\tend\ttext\n"]
    rows += [f"{_ms(each.start)}\t{_ms(each.end)}\t{_one_line(each.text)}\n" for each in transcript.sentences]
    return "".join(rows)


def as_json(transcript: Transcript) -> str:
    """Everything: text, language, seconds, and the sentences with their words, times and probabilities."""
    return json.dumps(as_dict(transcript), ensure_ascii=False, indent=2) + "\n"


def as_dict(transcript: Transcript) -> dict[str, Any]:
    """What `as_json` writes; times are seconds."""
    return {
        "text": transcript.text,
        "language": transcript.language,
        "duration": round(transcript.duration, 3),
        "sentences": [
            {
                "text": sentence.text,
                "start": round(sentence.start, 3),
                "end": round(sentence.end, 3),
                "language": sentence.language,
                **({"speaker": sentence.speaker} if sentence.speaker else {}),
                "words": [
                    {
                        "text": word.text,
                        "start": round(word.start, 3),
                        "end": round(word.end, 3),
                        "probability": round(word.probability, 3),
                    }
                    for word in sentence.words
                ],
            }
            for sentence in transcript.sentences
        ],
    }


def cues(transcript: Transcript) -> list[Cue]:
    """A transcript cut for reading along: a sentence a cue, long ones cut at a clause or a pause near the middle.

    Where speakers are known, each cue begins with its speaker: `A: …`.
    """
    return [
        Cue(_wrapped(_told(sentence, text)), start, end)
        for sentence in transcript.sentences
        for text, start, end in _pieces(sentence)
        if text.strip()
    ]


def _told(sentence: Sentence, text: str) -> str:
    """Text of a sentence behind its speaker, where that is known."""
    return f"{sentence.speaker}: {text}" if sentence.speaker else text


def clock(seconds: Seconds, point: str = ".") -> str:
    """`HH:MM:SS.mmm`, with `point` before the milliseconds."""
    minutes, ms = divmod(_ms(seconds), 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{ms // 1000:02}{point}{ms % 1000:03}"


def columns(text: str) -> int:
    """How wide a text is in columns of a terminal or a subtitle: a Han character takes two."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def _pieces(sentence: Sentence) -> list[tuple[str, Seconds, Seconds]]:
    if not sentence.words:
        return [(sentence.text, sentence.start, sentence.end)]
    groups = _cut(sentence.words)
    if len(groups) == 1:
        return [(sentence.text, sentence.start, sentence.end)]
    starts = [sentence.start, *(group[0].start for group in groups[1:])]
    ends = [*(group[-1].end for group in groups[:-1]), sentence.end]
    texts = [spacing.join(word.text for word in group) for group in groups]
    return list(zip(texts, starts, ends, strict=True))


def _cut(words: Sequence[Word]) -> list[Sequence[Word]]:
    whole = spacing.join(word.text for word in words)
    long = columns(whole) > LINE_COLUMNS * CUE_LINES or words[-1].end - words[0].start > CUE_SECONDS
    if len(words) < 2 or not long:
        return [words]
    widths = [columns(word.text) for word in words]
    total, before = sum(widths), 0
    best, best_score = 1, float("-inf")
    for index in range(1, len(words)):
        before += widths[index - 1]
        last = words[index - 1].text[-1:]
        ending = 1.0 if last in SENTENCE_ENDS else 0.7 if last in _CLAUSE_ENDS else 0.0
        pause = min(1.0, max(0.0, words[index].start - words[index - 1].end))
        score = ending + pause - 2 * abs(before / total - 0.5)
        if score > best_score:
            best, best_score = index, score
    return [*_cut(words[:best]), *_cut(words[best:])]


def _wrapped(text: str) -> str:
    text = _one_line(text)
    if columns(text) <= LINE_COLUMNS:
        return text
    middle, width = columns(text) / 2, 0
    best, best_score = 0, float("inf")
    for index, character in enumerate(text[:-1]):
        width += columns(character)
        following = text[index + 1]
        if unicodedata.category(following).startswith("P"):
            continue
        if character == " " or character in _ENDS or columns(character) == 2 == columns(following):
            score = abs(width - middle) - (_CLAUSE_BONUS if character in _ENDS else 0)
            if max(width, 2 * middle - width) > LINE_COLUMNS:
                score += 2 * middle
            if score < best_score:
                best, best_score = index + 1, score
    return f"{text[:best].rstrip()}\n{text[best:].lstrip()}" if best else text


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _ms(seconds: Seconds) -> int:
    return max(0, round(seconds * 1000))


_RENDERERS: dict[Format, Callable[[Transcript], str]] = {
    "txt": txt,
    "srt": srt,
    "vtt": vtt,
    "json": as_json,
    "tsv": tsv,
}
