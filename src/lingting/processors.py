"""How many processor cores this process may compute on."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def physical_cores(root: Path = Path("/"), usable: Iterable[int] | None = None) -> int:
    """Cores that this process may use: hyper-threads of one core count once, and no more than the container's quota.

    Args:
        root: where `sys` and `proc` of the machine are found.
        usable: numbers of the logical processors that may be used; by default those that the system lets this process
            run on.
    """
    if usable is None:
        usable = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    cores = {_core(root, number) for number in usable}
    quota = _quota(root)
    return max(1, len(cores) if quota is None else min(len(cores), int(quota)))


def _core(root: Path, number: int) -> tuple[str, str]:
    """What tells the core of a logical processor from others: its package and its number there; a processor of which
    the system says nothing is a core of its own."""
    topology = root / f"sys/devices/system/cpu/cpu{number}/topology"
    try:
        return (topology / "physical_package_id").read_text().strip(), (topology / "core_id").read_text().strip()
    except OSError:
        return "", f"processor {number}"


def _quota(root: Path) -> float | None:
    """Processors' worth of time that the control groups (version 2) of this process allow; None without a limit."""
    found: list[float] = []
    groups = root / "sys/fs/cgroup"
    own = groups
    with suppress(OSError):
        lines = (root / "proc/self/cgroup").read_text().splitlines()
        own = groups / next((line[3:].lstrip("/") for line in lines if line.startswith("0::")), "")
    for group in (own, *own.parents):
        if not group.is_relative_to(groups):
            break
        with suppress(OSError, ValueError):
            limit, period = (group / "cpu.max").read_text().split()
            if limit != "max":
                found.append(int(limit) / int(period))
    return min(found, default=None)
