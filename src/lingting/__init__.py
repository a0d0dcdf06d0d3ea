"""Lingting (聆听): self-hosted Chinese and English speech recognition."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("lingting")
except PackageNotFoundError:  # running from a source tree that was never installed
    __version__ = "0.0.0"
