from __future__ import annotations

from pathlib import Path

import pytest

from lingting.processors import physical_cores


def machine(root: Path, cores: list[tuple[int, int]]) -> Path:
    """A system tree in which logical processor n is the core of package `cores[n]`."""
    for number, (package, core) in enumerate(cores):
        topology = root / f"sys/devices/system/cpu/cpu{number}/topology"
        topology.mkdir(parents=True)
        (topology / "physical_package_id").write_text(f"{package}\n")
        (topology / "core_id").write_text(f"{core}\n")
    return root


def limited(root: Path, group: str, text: str) -> Path:
    folder = root / "sys/fs/cgroup" / group
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cpu.max").write_text(text)
    return root


FOUR_CORES = [(0, 0), (0, 1), (0, 2), (0, 3), (0, 0), (0, 1), (0, 2), (0, 3)]


def test_hyper_threads_of_one_core_count_once(tmp_path: Path) -> None:
    assert physical_cores(machine(tmp_path, FOUR_CORES), range(8)) == 4


@pytest.mark.parametrize(("usable", "cores"), [([0, 1, 2, 3], 4), ([0, 4], 1), ([0, 1, 4], 2), ([5], 1)])
def test_only_the_cores_that_the_process_may_run_on_count(tmp_path: Path, usable: list[int], cores: int) -> None:
    assert physical_cores(machine(tmp_path, FOUR_CORES), usable) == cores


def test_cores_of_equal_number_in_two_packages_are_two(tmp_path: Path) -> None:
    assert physical_cores(machine(tmp_path, [(0, 0), (1, 0), (0, 0), (1, 0)]), range(4)) == 2


def test_without_topology_every_processor_is_a_core(tmp_path: Path) -> None:
    assert physical_cores(tmp_path, range(3)) == 3


@pytest.mark.parametrize(
    ("limit", "cores"),
    [
        ("max 100000", 4),
        ("200000 100000", 2),
        ("250000 100000", 2),
        ("50000 100000", 1),
        ("1600000 100000", 4),
        ("?", 4),
    ],
)
def test_the_quota_of_the_container_holds(tmp_path: Path, limit: str, cores: int) -> None:
    assert physical_cores(limited(machine(tmp_path, FOUR_CORES), "", limit), range(8)) == cores


def test_of_the_quotas_of_a_group_and_those_above_it_the_least_holds(tmp_path: Path) -> None:
    root = machine(tmp_path, FOUR_CORES)
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text("4:memory:/elsewhere\n0::/shop/speech\n")
    limited(root, "shop/speech", "max 100000")
    limited(root, "shop", "300000 100000")
    limited(root, "other", "100000 100000")
    assert physical_cores(root, range(8)) == 3


def test_this_machine_has_a_core() -> None:
    assert physical_cores() >= 1
