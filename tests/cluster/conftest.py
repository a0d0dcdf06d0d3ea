"""A cluster that the tests of a file share: two doors and two homes, real processes over a real Redis."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lingting.access.database import COMMAND_SECONDS, Database
from lingting.access.directory import Directory
from lingting.access.principal import DEFAULT_SCOPES
from lingting.access.records import NewCredential
from tests.cluster.nodes import Cluster, running_redis


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_redis(tmp_path_factory.mktemp("redis")) as (url, _):
        yield url


def full(cluster: Cluster) -> Cluster:
    """A cluster once it has two doors and two homes."""
    cluster.key = new_key(cluster)
    for name in ("home-a", "home-b", "door-a", "door-b"):
        cluster.start(name.partition("-")[0], name)
    cluster.wait()
    return cluster


def new_key(cluster: Cluster) -> str:
    """An API key in the database that the nodes share."""
    database = Database(f"sqlite:///{cluster.folder / 'lingting.db'}", COMMAND_SECONDS)
    database.open()
    directory = Directory(database)
    tenant = directory.create_tenant("acme").name
    key = directory.create_key(NewCredential("key", tenant, DEFAULT_SCOPES, owner="Ada")).key
    database.close()
    return key


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Iterator[Cluster]:
    """Two doors and two homes; a test that ends one of them starts another."""
    made = Cluster(tmp_path_factory.mktemp("cluster"), redis_url)
    try:
        yield full(made)
    finally:
        made.stop()
