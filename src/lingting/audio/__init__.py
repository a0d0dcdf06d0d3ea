"""Bytes in, recordings out: decoding in confined processes, one budget of memory, voice activity, segments."""
