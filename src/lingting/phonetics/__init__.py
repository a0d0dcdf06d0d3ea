"""Chinese by sound: words that sound alike, a small language model, hot words."""

from lingting.phonetics.corrector import Change, Correction, Corrector
from lingting.phonetics.hot_words import HotWordsError

__all__ = ["Change", "Correction", "Corrector", "HotWordsError"]
