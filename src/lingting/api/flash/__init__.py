"""Flash ASR: a whole file in, sentences with times out."""
