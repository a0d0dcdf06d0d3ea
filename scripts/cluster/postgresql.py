"""A PostgreSQL server of one's own for a while."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg

from bench.growth.throughput import free_port

START_SECONDS = 60.0


@contextlib.contextmanager
def running_postgresql() -> Iterator[str]:
    """SQLAlchemy's URL of an empty database."""
    debian = [str(path) for path in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    search = os.pathsep.join([os.environ["PATH"], *debian])
    initdb, server = (shutil.which(name, path=search) for name in ("initdb", "postgres"))
    if initdb is None or server is None:
        raise RuntimeError("PostgreSQL is not installed: apt-get install postgresql")
    user = "postgres" if os.geteuid() == 0 else None  # it refuses to run as root
    folder, port = tempfile.mkdtemp(prefix="lingting-pg-"), free_port()
    if user:
        shutil.chown(folder, user)
    data = f"{folder}/data"
    subprocess.run(
        [initdb, "-D", data, "-U", "lingting", "-A", "trust", "-N"],
        check=True,
        user=user,
        cwd=folder,
        stdout=subprocess.DEVNULL,
    )
    options = ["-p", str(port), "-k", folder, "-c", "listen_addresses=127.0.0.1"]
    process = subprocess.Popen(
        [server, "-D", data, *options], user=user, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        until = time.monotonic() + START_SECONDS
        while True:
            try:
                psycopg.connect(f"postgresql://lingting@127.0.0.1:{port}/postgres").close()
                break
            except psycopg.OperationalError:
                if process.poll() is not None or time.monotonic() > until:
                    raise
                time.sleep(0.1)
        yield f"postgresql+psycopg://lingting@127.0.0.1:{port}/postgres"
    finally:
        process.send_signal(signal.SIGQUIT)
        process.wait(30)
        shutil.rmtree(folder, ignore_errors=True)
