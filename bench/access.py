"""What being let in costs a packet: authentication and the limits, counted in memory."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

from bench.place import Place
from lingting.access import Access
from lingting.settings import Settings

PACKETS_PER_SECOND = 5


def cost_of_a_packet(place: Place, packets: int) -> dict[str, float]:
    """CPU microseconds of one packet's authentication and check of the audio budget, and of a stream's lease."""
    data_dir = place.data_dir / "access"
    data_dir.mkdir(exist_ok=True)
    settings = replace(place, data_dir=data_dir).settings().model_copy(update={"limits_url": "memory://"})
    return asyncio.run(_measure(settings, packets))


async def _measure(settings: Settings, packets: int) -> dict[str, float]:
    access = Access(settings)
    await access.start()
    try:
        made = await access.create_demo()
        assert made is not None
        key = made[1].key
        principal = await access.authenticate(key)
        began = time.process_time()
        for _ in range(packets):
            principal = await access.authenticate(key)
            with await access.limits.reserve_audio(principal, 0.2, interface="stream", model="x") as reservation:
                reservation.charge(0.2)
        per_packet = (time.process_time() - began) / packets
        leases = max(1, packets // 10)
        began = time.process_time()
        for _ in range(leases):
            (await access.limits.acquire_stream(principal)).release()
        per_stream = (time.process_time() - began) / leases
    finally:
        await access.close()
    return {
        "packets": packets,
        "microseconds_per_packet": per_packet * 1e6,
        "microseconds_per_stream": per_stream * 1e6,
        "share_of_a_core_at_20_streams": per_packet * PACKETS_PER_SECOND * 20,
    }
