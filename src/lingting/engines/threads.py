"""Priority of threads that compute."""

from __future__ import annotations

import os
import threading

COMPUTE_NICENESS = 5

_thread = threading.local()


def yield_to_callers() -> None:
    """Make the calling thread nicer than those that answer requests, once, where the system has priorities of threads.

    Libraries that compute in the thread that calls them then leave a busy machine to the event loop.
    """
    if getattr(_thread, "nice", False):
        return
    _thread.nice = True
    if hasattr(os, "setpriority"):
        thread_id = threading.get_native_id()
        niceness = os.getpriority(os.PRIO_PROCESS, thread_id) + COMPUTE_NICENESS
        os.setpriority(os.PRIO_PROCESS, thread_id, min(19, niceness))
