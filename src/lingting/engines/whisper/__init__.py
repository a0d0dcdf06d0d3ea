"""Whisper through CTranslate2: encode, decode in batches, look whether the text can be true, align."""

from pathlib import Path

from lingting.engines.whisper.engine import WhisperEngine
from lingting.phonetics import Corrector
from lingting.recognition.rescoring import SecondPass

__all__ = ["WhisperEngine", "build"]


def build(*, name: str, folder: str, lanes: int, second_pass: bool, language_model: str | None) -> WhisperEngine:
    """The engine from plain data, for a process of its own, with its own second pass over Chinese.

    Args:
        language_model: of the second pass, see `Corrector.load`.

    Raises:
        ModelError: the model or the language model cannot be loaded.
    """
    rescorer = None
    if second_pass:
        rescorer = SecondPass(Corrector.load(None if language_model is None else Path(language_model)))
    return WhisperEngine.load(Path(folder), lanes, name=name, rescorer=rescorer)
