"""Results in the shapes of Deepgram, live and of recordings."""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from lingting.api.deepgram.parameters import Query
from lingting.domain import Language, Seconds, Sentence, Transcript, Word
from lingting.text import spacing
from lingting.text.words import PUNCTUATION, has_han

_UNMEASURED = 0.5
"""The confidence of a result that may change, which has none of its own."""


class Names:
    """What all messages of one request repeat.

    Attributes:
        request_id: names the request.
        metadata: of every result.
    """

    def __init__(self, model: str, request_id: str = "") -> None:
        self.request_id = request_id or str(uuid.uuid4())
        self.model_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"lingting/{model}"))
        self.model_info = {"name": model, "version": "1", "arch": model}
        self.metadata = {
            "request_id": self.request_id,
            "model_info": self.model_info,
            "model_uuid": self.model_id,
        }
        self._created = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def of(self, model: str) -> Names:
        """The same request, answered by this model."""
        return Names(model, self.request_id)

    def summary(self, sha256: str, duration: Seconds) -> dict[str, Any]:
        """What is said about the sound as a whole."""
        return {
            "transaction_key": "deprecated",
            "request_id": self.request_id,
            "sha256": sha256,
            "created": self._created,
            "duration": round(duration, 3),
            "channels": 1,
        }


def results(
    names: Names,
    start: Seconds,
    end: Seconds,
    alternative: dict[str, Any],
    *,
    is_final: bool,
    speech_final: bool = False,
    from_finalize: bool = False,
) -> dict[str, Any]:
    """One `Results` message about the sound from `start` to `end`."""
    return {
        "type": "Results",
        "channel_index": [0, 1],
        "duration": round(max(0.0, end - start), 3),
        "start": round(start, 3),
        "is_final": is_final,
        "speech_final": speech_final,
        "channel": {"alternatives": [alternative]},
        "metadata": names.metadata,
        "from_finalize": from_finalize,
    }


def guessed(text: str, query: Query) -> dict[str, Any]:
    """An alternative that may change; its words have no times yet."""
    return {"transcript": _written(text, query), "confidence": _UNMEASURED, "words": []}


def alternative(
    text: str, sentences: Sequence[Sentence], query: Query, language: Language | None = None
) -> dict[str, Any]:
    """An alternative that stays."""
    words = [word for sentence in sentences for word in sentence.words]
    said: dict[str, Any] = {
        "transcript": _written(text, query),
        "confidence": _mean(words),
        "words": [word for sentence in sentences for word in described(sentence, query)],
    }
    if query.multilingual and language is not None:
        said["languages"] = [language]
    return said


def described(sentence: Sentence, query: Query) -> list[dict[str, Any]]:
    """Words of a sentence with their times; those that are nothing but punctuation are left out."""
    found = []
    for word in sentence.words:
        bare = word.text.strip(PUNCTUATION)
        if bare:
            timed: dict[str, Any] = {
                "word": bare.lower(),
                "start": round(word.start, 3),
                "end": round(word.end, 3),
                "confidence": round(word.probability, 4),
            }
            if query.punctuate:
                timed["punctuated_word"] = word.text
            if query.multilingual:
                timed["language"] = _language(bare, sentence.language)
            if sentence.speaker:
                timed["speaker"] = number_of(sentence.speaker)
            found.append(timed)
    return found


def recording(names: Names, transcript: Transcript, query: Query, sha256: str) -> dict[str, Any]:
    """The answer to a recording."""
    said = alternative(transcript.text, transcript.sentences, query, transcript.language)
    channel: dict[str, Any] = {"alternatives": [said]}
    if query.multilingual:
        channel["detected_language"] = transcript.language
    found: dict[str, Any] = {"channels": [channel]}
    if query.utterances:
        found["utterances"] = [
            {
                "start": round(sentence.start, 3),
                "end": round(sentence.end, 3),
                "confidence": _mean(sentence.words),
                "channel": 0,
                "transcript": _written(sentence.text, query),
                "words": described(sentence, query),
                "id": str(uuid.uuid4()),
                **({"speaker": number_of(sentence.speaker)} if sentence.speaker else {}),
            }
            for sentence in transcript.sentences
        ]
    summary = names.summary(sha256, transcript.duration)
    if transcript.warning is not None:
        summary["warnings"] = [{"parameter": "audio", "type": "truncated_audio", "message": transcript.warning}]
    models = {"models": [names.model_id], "model_info": {names.model_id: names.model_info}}
    return {"metadata": summary | models, "results": found}


def number_of(speaker: str) -> int:
    """A speaker as Deepgram counts them, from 0: A, B and so on to Z, then AA."""
    number = 0
    for letter in speaker:
        number = number * 26 + ord(letter) - ord("A") + 1
    return number - 1


def _language(word: str, otherwise: Language) -> Language:
    """The language of a word by its script; a number is in that of its sentence."""
    if has_han(word):
        return "zh"
    return "en" if any(character.isalpha() for character in word) else otherwise


def _mean(words: Sequence[Word]) -> float:
    return round(sum(word.probability for word in words) / len(words), 4) if words else 0.0


def _written(text: str, query: Query) -> str:
    """The text, without punctuation where none is wanted."""
    if query.punctuate:
        return text
    return spacing.join(_MARKS.sub(" ", text).split())


_MARKS = re.compile(r"[，。！？；：、…—“”‘’《》（）]|[,.!?;:()\"]+(?=\s|$)|(?<!\S)[(\"]+")
"""Full-width punctuation, and the other where it is not inside of a word or a number."""
