"""What `lingting doctor` looks at: each check says what it found and, where something is wrong, what to do."""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import shutil
import sqlite3
import ssl
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeAlias

from lingting.errors import LingtingError
from lingting.operations.memory import available_memory
from lingting.settings import Settings

Status: TypeAlias = Literal["ok", "warning", "wrong"]

_MB = 1_000_000
_MEMORY_WRONG, _MEMORY_LITTLE = 400 * _MB, 1000 * _MB
_DISK_WRONG, _DISK_LITTLE = 200 * _MB, 1000 * _MB
_CERTIFICATE_DAYS = 14
_SAMPLE_ERRORS = 0.35


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found.

    Attributes:
        check: its name.
        status: "ok", "warning" where it works but not well, "wrong" where it does not.
        found: what there is.
        advice: what to do; empty when all is well.
    """

    check: str
    status: Status
    found: str
    advice: str = ""


Check: TypeAlias = Callable[[Settings], Finding]


def examine(settings: Settings) -> Iterator[Finding]:
    """Every check in turn; one that breaks is a finding too."""
    for name, check in CHECKS.items():
        try:
            yield check(settings)
        except LingtingError as error:
            yield Finding(name, "wrong", str(error), "mend what it says, then run lingting doctor again")
        except Exception as error:
            yield Finding(
                name, "wrong", f"the check itself failed: {type(error).__name__}: {error}", "please report this"
            )


def data_folder(settings: Settings) -> Finding:
    """Whether the data folder can be written, and others cannot read the database in it."""
    folder = settings.data_dir
    advice = "give the user that runs Lingting the right to write it, or set LINGTING_DATA_DIR to another folder"
    nearest = _nearest(folder)
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        return Finding("data folder", "wrong", f"{nearest} cannot be written: {error.strerror}", advice)
    if not folder.is_dir():
        return Finding("data folder", "ok", f"{folder} can be made")
    database = folder / "lingting.db"
    if os.name == "posix" and database.exists() and database.stat().st_mode & 0o077:
        found = f"other users of this machine may read {database}"
        return Finding("data folder", "warning", found, f"chmod 600 {database}")
    return Finding("data folder", "ok", f"{folder} can be written")


def disk(settings: Settings) -> Finding:
    """Whether there is room for the model and for recordings on their way."""
    free = shutil.disk_usage(_nearest(settings.data_dir)).free
    found = f"{free / _MB / 1000:.1f} GB free in {settings.data_dir}"
    if free < _DISK_LITTLE:
        return Finding(
            "disk",
            "wrong" if free < _DISK_WRONG else "warning",
            found,
            "free some space (1 GB is good), or set LINGTING_DATA_DIR to a folder on a larger disk",
        )
    return Finding("disk", "ok", found)


def memory(settings: Settings) -> Finding:
    """Whether the model fits."""
    available = available_memory()
    if available is None:
        return Finding("memory", "ok", "this system does not tell")
    found = f"{available / _MB / 1000:.1f} GB available"
    if available < _MEMORY_LITTLE:
        status: Status = "wrong" if available < _MEMORY_WRONG else "warning"
        return Finding("memory", status, found, "stop other programs, or give the container 1.5 GB or more")
    return Finding("memory", "ok", found)


def processor(settings: Settings) -> Finding:
    """Whether the processor has the instructions that make the model fast."""
    from lingting.processors import physical_cores

    cores = settings.compute_threads or physical_cores()
    shown = f"{cores} core{'s' if cores > 1 else ''}"
    flags = processor_flags()
    if platform.machine().lower() in ("arm64", "aarch64") or flags is None:
        return Finding("processor", "ok", f"{shown}, {platform.machine()}")
    if "avx2" not in flags:
        return Finding(
            "processor",
            "warning",
            f"{shown} without AVX2: recognition is many times slower",
            "use a processor made after 2015, or let the virtual machine pass its features on (CPU type host)",
        )
    if flags & {"avx512_vnni", "avx_vnni"}:
        return Finding("processor", "ok", f"{shown} with AVX2 and VNNI")
    found = f"{shown} with AVX2, without VNNI: recognition takes about twice as long as it could"
    return Finding("processor", "ok", found)


def processor_flags(path: Path = Path("/proc/cpuinfo")) -> frozenset[str] | None:
    """The instructions that the processor says it has; None where the system does not tell."""
    try:
        for line in path.read_text().splitlines():
            if line.startswith("flags"):
                return frozenset(line.partition(":")[2].split())
    except OSError:
        pass
    return None


def clock(settings: Settings) -> Finding:
    """Whether the clock is right enough for tokens, usage by day and TLS."""
    now = time.time()
    installed = Path(__file__).stat().st_mtime
    shown = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    if now < installed - 86_400:
        return Finding(
            "clock",
            "wrong",
            f"{shown}, which is before Lingting was installed",
            "set the clock (timedatectl set-ntp true); tokens and certificates depend on it",
        )
    return Finding("clock", "ok", shown)


def port(settings: Settings) -> Finding:
    """Whether the port is free, or a Lingting server has it."""
    from lingting.api.listening.sockets import is_loopback, listen
    from lingting.cli.own_server import ask
    from lingting.errors import SettingsError

    where = f"{settings.host}:{settings.port}"
    try:
        listen(settings.host, settings.port).close()
    except SettingsError as error:
        if ask(settings, "/healthz") is not None:
            return Finding("port", "ok", f"a Lingting server answers on {where}")
        problem, _, advice = str(error).partition("; ")
        return Finding("port", "wrong", problem, advice)
    if not settings.tls and not is_loopback(settings.host):
        return Finding(
            "port",
            "warning",
            f"{where} is free, but other machines would reach it without TLS",
            "set LINGTING_TLS_CERTIFICATE and LINGTING_TLS_KEY, or put a TLS proxy in front",
        )
    return Finding("port", "ok", f"{where} is free")


def tls(settings: Settings) -> Finding:
    """Whether certificate and key can be used, and for how long."""
    if not settings.tls:
        return Finding("TLS", "ok", "off: plain http on this machine")
    from lingting.api.listening.tls import tls_context

    tls_context(settings)
    assert settings.tls_certificate is not None
    expires = _expiry(settings.tls_certificate)
    if expires is None:
        return Finding("TLS", "ok", f"{settings.tls_certificate} and its key can be used")
    days = (expires - time.time()) / 86_400
    day = datetime.fromtimestamp(expires, UTC).date().isoformat()
    if days < _CERTIFICATE_DAYS:
        found = f"the certificate {'has expired on' if days < 0 else 'expires on'} {day}"
        advice = "renew it, and send the server SIGHUP to read it again"
        return Finding("TLS", "wrong" if days < 0 else "warning", found, advice)
    return Finding("TLS", "ok", f"{settings.tls_certificate} is good until {day}")


def database(settings: Settings) -> Finding:
    """Whether the database of tenants and keys can be read."""
    import sqlalchemy as sa

    url = sa.make_url(settings.database)
    shown = url.render_as_string(hide_password=True)
    if url.get_backend_name() != "sqlite":
        engine = sa.create_engine(url)
        try:
            with engine.connect() as connection:
                connection.execute(sa.text("SELECT 1"))
        except (sa.exc.SQLAlchemyError, ImportError) as error:
            reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
            return Finding(
                "database", "wrong", f"{shown} does not answer: {reason}", "check LINGTING_DATABASE_URL and the server"
            )
        finally:
            engine.dispose()
        return Finding("database", "ok", f"{shown} answers")
    path = Path(url.database or "")
    if not url.database or not path.exists():
        return Finding("database", "ok", f"{shown} will be made on the first start")
    try:
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)) as connection_:
            result = connection_.execute("PRAGMA quick_check").fetchone()[0]
    except sqlite3.Error as error:
        result = str(error)
    if result != "ok":
        advice = f"put {path} back from a backup, or move it away to begin with new tenants and keys"
        return Finding("database", "wrong", f"{path} cannot be used: {result}", advice)
    return Finding("database", "ok", f"{path} is whole")


def model(settings: Settings) -> Finding:
    """Whether the models that are served are there and every digest is right."""
    from lingting.errors import ModelError
    from lingting.models import Store
    from lingting.served_models import ServedModels

    store = Store.at(settings.models_dir)
    served = ServedModels.of(settings)
    found = []
    try:
        for name in served.needed:
            store.path(name)
            if name not in store.catalogue.models:
                found.append(f"{name} is there; it is your own, so there is no digest to compare")
                continue
            store.verify(name)
            found.append(f"{name} is whole ({store.size(name) / _MB:.0f} MB)")
    except ModelError as error:
        return Finding("model", "wrong", *_split(str(error)))
    return Finding("model", "ok", "; ".join(found))


def better_model(settings: Settings) -> Finding:
    """Whether the catalogue has a better model for this machine, and how to get it."""
    from lingting.models import Store
    from lingting.models.advice import better_than
    from lingting.served_models import ServedModels

    used = ServedModels.of(settings).default
    advice = better_than(used, Store.at(settings.models_dir), available_memory())
    if advice is None:
        return Finding("better", "ok", f"the catalogue knows of no better model for Chinese and English than {used}")
    model = advice.model
    found = f"{model.name} would be better than {used}: {model.description}"
    if model.published is not None:
        found += f" Measured by others: {model.published.values}."
    found += f" {model.bytes / _MB:.0f} MB to download, about {model.memory_mb} MB of memory"
    if not advice.fits:
        return Finding("better", "ok", f"{found}, which is more than is available here")
    return Finding("better", "ok", found, "; ".join(advice.commands))


def second_pass(settings: Settings) -> Finding:
    """Which language model chooses among Chinese words that sound alike."""
    from lingting import service
    from lingting.errors import ModelError
    from lingting.remembered import last_language_model

    try:
        corrector = service.second_pass(settings)
    except ModelError as error:
        return Finding("second pass", "wrong", str(error), "name a KenLM file in LINGTING_LANGUAGE_MODEL, or unset it")
    if corrector is None:
        return Finding("second pass", "ok", "off: Chinese is written as the engine wrote it")
    found = f"language model {corrector.language_model_name}"
    if corrector.unused_language_model:
        advice = "pip install ufal-kenlm, or set LINGTING_LANGUAGE_MODEL=compact to choose the small model"
        return Finding("second pass", "warning", f"{found}: {corrector.unused_language_model}", advice)
    before = last_language_model(settings.data_dir)
    if before and before != corrector.language_model_name:
        found += f" (the last start of the server used {before})"
    return Finding("second pass", "ok", found)


def recognition(settings: Settings) -> Finding:
    """Whether the sample that comes with the package is recognised, and how fast."""
    from lingting import samples
    from lingting.errors import ModelError
    from lingting.models import Store
    from lingting.text.scoring import error_rate
    from lingting.transcriber import Transcriber

    try:
        Store.at(settings.models_dir).path(settings.model)
    except ModelError:
        return Finding("recognition", "wrong", "there is no model to try", "see the check of the model")
    sample = samples.contents()["sample.wav"]
    with Transcriber(settings=settings) as transcriber:
        transcriber.transcribe(sample)
        began = time.perf_counter()
        transcript = transcriber.transcribe(sample)
        seconds = time.perf_counter() - began
    speed = transcript.duration / seconds
    found = f"{transcript.text!r} in {seconds:.2f} s, {speed:.0f} times as fast as it is spoken"
    if error_rate(samples.TEXT, transcript.text).rate > _SAMPLE_ERRORS:
        return Finding(
            "recognition",
            "wrong",
            f"{transcript.text!r} was heard instead of {samples.TEXT!r}",
            f"use a model for Chinese, or install it anew: lingting models pull {settings.model}",
        )
    if speed < 2:
        return Finding("recognition", "warning", found, "stop other programs, or use a machine with more cores")
    return Finding("recognition", "ok", found)


def decoding(settings: Settings) -> Finding:
    """Whether files that strangers send are decoded where they can do no harm."""
    from lingting.audio.decode import Decoder

    async def ask() -> tuple[str, ...]:
        decoder = Decoder(1)
        try:
            return await decoder.confined()
        finally:
            await decoder.close()

    confined = asyncio.run(ask())
    lacking = [name for name in ("landlock", "seccomp") if name not in confined]
    if not lacking:
        return Finding("decoding", "ok", "files are decoded in processes that reach nothing, by Landlock and seccomp")
    found = f"files are decoded in processes that are not confined by {' nor by '.join(lacking)}"
    advice = "run the server in a container or a virtual machine of its own, or on Linux 5.13 or later on x86-64 or ARM"
    return Finding("decoding", "ok" if "seccomp" in confined else "warning", found, "" if confined else advice)


CHECKS: dict[str, Check] = {
    "processor": processor,
    "memory": memory,
    "clock": clock,
    "data folder": data_folder,
    "disk": disk,
    "database": database,
    "TLS": tls,
    "port": port,
    "model": model,
    "better": better_model,
    "decoding": decoding,
    "second pass": second_pass,
    "recognition": recognition,
}


def _nearest(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    folder = folder.absolute()
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    return folder


def _split(message: str) -> tuple[str, str]:
    """An error's problem and its remedy, which stand on either side of a semicolon."""
    problem, _, remedy = message.partition("; ")
    return problem, remedy or "lingting models list shows what can be installed"


def _expiry(certificate: Path) -> float | None:
    """When the first certificate of a file expires, in Unix seconds."""
    decode = getattr(getattr(ssl, "_ssl", None), "_test_decode_cert", None)
    if decode is None:
        return None
    return ssl.cert_time_to_seconds(str(decode(str(certificate))["notAfter"]))
