"""The listening socket, and what an address is."""

from __future__ import annotations

import errno
import ipaddress
import socket

from lingting.errors import SettingsError

BACKLOG = 2048


def listen(host: str, port: int, setting: str = "LINGTING_PORT") -> socket.socket:
    """A listening socket; `setting` is what says the port, for the errors.

    Raises:
        SettingsError: the address or the port cannot be had; the message says what to do.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family, backlog=BACKLOG)
    except OSError as error:
        where = f"port {port} on {host}"
        match error.errno:
            case errno.EADDRINUSE:
                problem = f"{where} is already in use; stop the other program or set {setting} to another port"
            case errno.EACCES | errno.EPERM:
                problem = f"{where} is reserved to the administrator; set {setting} to 1024 or more"
            case _:
                problem = f"cannot listen on {host}: {error.strerror or error}; set LINGTING_HOST to an own address"
        raise SettingsError(problem) from None


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens on `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
