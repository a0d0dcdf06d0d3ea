"""Many machines that answer as one: doors answer callers, homes recognise, Redis says which home has which stream.

A *door* is the server that callers know, without a model: it parses, authenticates and limits, and sends what is to be
recognised to a home over a connection of our own (`link.py`). A *home* holds live streams and the engines. Which home
has a stream stands in Redis (`directory.py`) with an epoch, and so does what was acknowledged of it: when a home dies,
another one claims the stream at the next epoch and goes on. Nothing here needs Ray; it may start these processes.
"""

from __future__ import annotations

from lingting.cluster.home import Home
from lingting.cluster.service import Door
from lingting.settings import Settings


def build(settings: Settings) -> Door | Home:
    """The service of the role that the settings give this node: a door or a home, not started yet.

    Raises:
        SettingsError: the role cannot be had with these settings; the message says what to change.
    """
    return Home(settings) if settings.cluster_role == "home" else Door(settings)
