"""Whose X-Forwarded-For is believed: the address of a client behind reverse proxies."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from starlette.types import Scope

from lingting.settings import Settings

_MOST_PROXIES = 32

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Proxies:
    """The proxies of the setting `trusted_proxies`."""

    def __init__(self, settings: Settings) -> None:
        self._networks = [ipaddress.ip_network(text) for text in settings.trusted_proxies.split(",") if text]

    def apply(self, scope: Scope) -> None:
        """Put the client's address in place of the proxy's in a request that a trusted proxy passed on.

        Every proxy adds the address it was called from at the end, so the list is read from there: the first address
        that is no trusted proxy's is the client's, and what stands before it, anybody may have written. The list ends
        where it is malformed.
        """
        if not self._networks or not scope.get("client"):
            return
        found = _address(scope["client"][0])
        if found is None or not self._trusts(found):
            return
        for text in _forwarded(scope["headers"]):
            hop = _address(text)
            if hop is None:
                break
            found = hop
            if not self._trusts(hop):
                break
        scope["client"] = (str(found), 0)

    def trusts(self, host: str) -> bool:
        """Whether an address is that of a trusted proxy."""
        address = _address(host)
        return address is not None and self._trusts(address)

    def _trusts(self, address: _Address) -> bool:
        return any(address in network for network in self._networks)


def _forwarded(headers: Iterable[tuple[bytes, bytes]]) -> list[str]:
    """What the proxies wrote, the nearest first; each was called by the next."""
    lines = [value.decode("latin-1") for name, value in headers if name == b"x-forwarded-for"]
    return ",".join(lines).rsplit(",", _MOST_PROXIES)[-_MOST_PROXIES:][::-1]


def _address(text: str) -> _Address | None:
    """An address, with a port or without one; IPv4 also in the form that IPv6 sockets show it in."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
