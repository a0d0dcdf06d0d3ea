"""Text rules: script, spacing, punctuation, spoken numbers, sentence boundaries.

`finish` and `finish_text` apply them in their order; each rule is a module of its own and a pure function. Units of
text are those of `words`: one Han character or one Latin word or number with the punctuation that follows it.
"""

from lingting.text.finish import finish, finish_text
from lingting.text.scoring import ErrorCount, error_rate, normalise
from lingting.text.words import from_characters, from_text, split_units

__all__ = [
    "ErrorCount",
    "error_rate",
    "finish",
    "finish_text",
    "from_characters",
    "from_text",
    "normalise",
    "split_units",
]
