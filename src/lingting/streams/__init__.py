"""Numbered packets in, text out: order, retries, expiry."""

from lingting.streams.packets import Action, StreamPacket, StreamReply
from lingting.streams.streams import Streams
from lingting.streams.types import Lease, LiveSession, Owner, StreamState

__all__ = ["Action", "Lease", "LiveSession", "Owner", "StreamPacket", "StreamReply", "StreamState", "Streams"]
