"""Text rules: script, spacing, punctuation, spoken numbers, sentence boundaries."""
