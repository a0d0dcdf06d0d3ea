"""Bytes in, float32 mono 16 kHz out: decoding, resampling, voice activity."""
