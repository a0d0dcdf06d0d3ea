"""Whisper through CTranslate2: encode, decode in batches, look whether the text can be true, align."""

from lingting.engines.whisper.engine import WhisperEngine

__all__ = ["WhisperEngine"]
