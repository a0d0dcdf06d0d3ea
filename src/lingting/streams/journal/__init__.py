"""What was acknowledged of live streams, kept so that a stream survives its server.

The journal keeps opaque entries by stream: `storage.py` says what is asked of a storage, with the one in memory;
`disk.py` and `redis.py` are the others; `cipher.py` encrypts entries before a storage sees them; `records.py` says what
they hold.
"""

from lingting.streams.journal.cipher import Encrypted
from lingting.streams.journal.disk import DiskStorage
from lingting.streams.journal.records import Ended
from lingting.streams.journal.storage import JournalError, MemoryStorage, Storage
from lingting.streams.journal.stream import StreamJournal, recover

__all__ = [
    "DiskStorage",
    "Encrypted",
    "Ended",
    "JournalError",
    "MemoryStorage",
    "Storage",
    "StreamJournal",
    "recover",
]
