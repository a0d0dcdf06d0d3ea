"""Wyoming announced on the local network, so that Home Assistant finds it by itself: DNS-SD over multicast DNS."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import re
import socket
from collections.abc import AsyncIterator

from lingting.errors import SettingsError
from lingting.extras import install_command
from lingting.settings import Settings

SERVICE = "_wyoming._tcp.local."

log = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def announced(settings: Settings) -> AsyncIterator[None]:
    """Announce the port for Wyoming meanwhile, where the settings say so.

    A network that takes no announcement costs a warning, no start.

    Raises:
        SettingsError: the package zeroconf is not installed.
    """
    if not settings.wyoming_zeroconf:
        yield
        return
    try:
        from zeroconf import Error as ZeroconfError
        from zeroconf import InterfaceChoice, IPVersion
        from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf
    except ImportError:
        raise SettingsError(f"LINGTING_WYOMING_ZEROCONF needs a package more: {install_command('zeroconf')}") from None
    everywhere = ipaddress.ip_address(_address(settings.wyoming_host)).is_unspecified
    addresses = _own_addresses() if everywhere else [_address(settings.wyoming_host)]
    name = f"lingting-{re.sub(r'[^A-Za-z0-9-]+', '-', socket.gethostname())[:40]}"
    service = AsyncServiceInfo(
        SERVICE,
        f"{name}.{SERVICE}",
        port=settings.wyoming_port,
        parsed_addresses=addresses,
        server=f"{name}.local.",
    )
    async with contextlib.AsyncExitStack() as held:
        try:
            responder = AsyncZeroconf(
                interfaces=InterfaceChoice.All if everywhere else addresses, ip_version=IPVersion.V4Only
            )
            held.push_async_callback(responder.async_close)
            await responder.async_register_service(service, allow_name_change=True)
            held.push_async_callback(responder.async_unregister_all_services)
            log.info("Wyoming is announced as %s on %s", service.name, ", ".join(addresses))
        except (ZeroconfError, OSError) as error:
            log.warning("Wyoming cannot be announced on the network (%s); give clients host and port", error)
        yield


def _address(host: str) -> str:
    """The IPv4 address of a host."""
    return str(socket.getaddrinfo(host, None, socket.AF_INET)[0][4][0])


def _own_addresses() -> list[str]:
    """The IPv4 addresses of this machine that others can reach."""
    import ifaddr

    every = (str(ip.ip) for adapter in ifaddr.get_adapters() for ip in adapter.ips if ip.is_IPv4)
    return [address for address in every if not ipaddress.ip_address(address).is_loopback]
