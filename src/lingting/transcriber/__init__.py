"""The Python library: recognition without a server."""

from lingting.transcriber.audio import Audio, Packet
from lingting.transcriber.stream import Stream, Update
from lingting.transcriber.transcriber import LONGEST_SECONDS, Transcriber

__all__ = ["LONGEST_SECONDS", "Audio", "Packet", "Stream", "Transcriber", "Update"]
