"""Transcripts in the formats of OpenAI's transcription interface."""

from __future__ import annotations

import math
import zlib
from collections.abc import Collection
from typing import Any

from lingting import subtitles
from lingting.api.openai.parameters import Granularity, ResponseFormat
from lingting.audio.recording import Recording
from lingting.domain import Seconds, Sentence, Transcript, Word
from lingting.text.words import PUNCTUATION

WARNING_HEADER = "X-Lingting-Warning"

_LANGUAGES = {"zh": "chinese", "en": "english"}
_FRAMES_PER_SECOND = 100
_LEAST_PROBABILITY = 1e-4


def content(
    transcript: Transcript, response_format: ResponseFormat, granularities: Collection[Granularity]
) -> str | dict[str, Any]:
    """What answers a request: text for text, srt and vtt, an object for the JSON formats."""
    match response_format:
        case "text":
            return f"{transcript.text}\n"
        case "srt":
            return subtitles.srt(transcript)
        case "vtt":
            return subtitles.vtt(transcript)
        case "json":
            return {"text": transcript.text, "usage": usage(transcript.duration)}
        case "verbose_json":
            return _verbose(transcript, granularities)
        case "diarized_json":
            return _diarized(transcript)


def usage(duration: Seconds) -> dict[str, Any]:
    """What the request used."""
    return {"type": "duration", "seconds": round(duration, 3)}


def warning(recording: Recording) -> dict[str, str]:
    """The header that says what is wrong with a recording; none where nothing is."""
    return {} if recording.warning is None else {WARNING_HEADER: recording.warning}


def _verbose(transcript: Transcript, granularities: Collection[Granularity]) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "task": "transcribe",
        "language": _LANGUAGES[transcript.language],
        "duration": round(transcript.duration, 3),
        "text": transcript.text,
        "usage": usage(transcript.duration),
    }
    if transcript.warning is not None:
        answer["warnings"] = [transcript.warning]
    if "word" in granularities:
        words = [_word(word) for sentence in transcript.sentences for word in sentence.words]
        answer["words"] = [word for word in words if word["word"]]
    if "segment" in granularities:
        answer["segments"] = [_segment(number, sentence) for number, sentence in enumerate(transcript.sentences)]
    return answer


def _diarized(transcript: Transcript) -> dict[str, Any]:
    segments = [
        {
            "type": "transcript.text.segment",
            "id": f"seg_{number}",
            "start": round(sentence.start, 3),
            "end": round(sentence.end, 3),
            "text": sentence.text,
            "speaker": sentence.speaker,
        }
        for number, sentence in enumerate(transcript.sentences)
    ]
    return {
        "task": "transcribe",
        "duration": round(transcript.duration, 3),
        "text": transcript.text,
        "segments": segments,
        "usage": usage(transcript.duration),
    }


def _word(word: Word) -> dict[str, Any]:
    return {"word": word.text.strip(PUNCTUATION), "start": round(word.start, 3), "end": round(word.end, 3)}


def _segment(number: int, sentence: Sentence) -> dict[str, Any]:
    """A sentence as a segment of Whisper's. Tokens are not kept; voice activity has already dropped what is silent."""
    logs = [math.log(max(word.probability, _LEAST_PROBABILITY)) for word in sentence.words]
    raw = sentence.text.encode()
    return {
        "id": number,
        **({"speaker": sentence.speaker} if sentence.speaker else {}),
        "seek": round(sentence.start * _FRAMES_PER_SECOND),
        "start": round(sentence.start, 3),
        "end": round(sentence.end, 3),
        "text": sentence.text,
        "tokens": [],
        "temperature": 0.0,
        "avg_logprob": round(sum(logs) / len(logs), 4) if logs else 0.0,
        "compression_ratio": round(len(raw) / len(zlib.compress(raw)), 4) if raw else 0.0,
        "no_speech_prob": 0.0,
    }
