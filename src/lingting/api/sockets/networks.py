"""Which networks an address is in."""

from __future__ import annotations

import ipaddress
from functools import lru_cache


@lru_cache(maxsize=1024)
def in_networks(address: str, networks: str) -> bool:
    """Whether an address lies in one of these networks, which are separated by commas.

    IPv4 also counts in the form that IPv6 sockets show it in.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    parsed = getattr(parsed, "ipv4_mapped", None) or parsed
    return any(parsed in ipaddress.ip_network(network) for network in networks.split(",") if network)
