"""Every setting, once, with its documentation.

A setting comes from the environment (`LINGTING_<NAME>`), else from a TOML file (`LINGTING_CONFIG`, else `lingting.toml`
in the data folder), else from its default. Unknown names and invalid values stop the start.
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

import platformdirs
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from lingting.errors import SettingsError

PREFIX = "LINGTING_"
NOT_SETTINGS = {"LINGTING_CONFIG", "LINGTING_SPEECH_DIR", "LINGTING_FORBID_SKIPS", "LINGTING_API_KEY"}

_LEAST_SECRET = 16

INTERFACES = (
    "file_recognize",
    "stream_recognize",
    "flash",
    "transcriptions",
    "realtime",
    "deepgram",
    "funasr",
    "wyoming",
)

Count = Annotated[int, Field(ge=1)]
PositiveSeconds = Annotated[float, Field(gt=0)]


def default_data_dir() -> Path:
    """`data/` beside the checkout when running from one, else the user's data folder."""
    checkout = Path(__file__).resolve().parents[2]
    if (checkout / "pyproject.toml").is_file() and (checkout / "src" / "lingting").is_dir():
        return checkout / "data"
    return Path(platformdirs.user_data_dir("lingting", appauthor=False))


class Settings(BaseSettings):
    """All settings of the server and the command. Each field's description is its documentation."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    # -- where it listens ---------------------------------------------------------------------------------------------
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8300, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    tls_certificate: Path | None = Field(None, description="PEM file of the TLS certificate chain.")
    tls_key: Path | None = Field(None, description="PEM file of the TLS private key.")

    trusted_proxies: str = Field(
        "",
        description="Reverse proxies whose X-Forwarded-For is believed: addresses and networks, separated by commas.",
    )

    funasr_port: int = Field(
        0, ge=0, le=65535, description="A second port, for FunASR clients, whose own is 10095; 0 opens none."
    )
    funasr_tls: bool = Field(
        False,
        description="Speak TLS on funasr_port where the server has no certificate, with one made for it: FunASR's "
        "clients speak TLS unless told otherwise, and check no certificate.",
    )
    wyoming_port: int = Field(
        0, ge=0, le=65535, description="Port of the Wyoming protocol, by custom 10300; 0 opens none."
    )
    wyoming_host: str = Field("127.0.0.1", description="Address on which Wyoming listens.")
    wyoming_zeroconf: bool = Field(
        False,
        description="Announce Wyoming on the local network, so that Home Assistant finds it; needs the extra zeroconf.",
    )
    wyoming_ends_turns: bool = Field(
        False, description="Answer a Wyoming request when speech is over, without waiting for its end."
    )
    keyless_key: str = Field(
        "",
        repr=False,
        description="API key under which FunASR and Wyoming clients are served that can send none; unset refuses them.",
    )
    keyless_networks: str = Field(
        "127.0.0.0/8,::1/128",
        description="Networks whose FunASR and Wyoming clients may use keyless_key, separated by commas.",
    )

    # -- where it keeps things ----------------------------------------------------------------------------------------
    data_dir: Path = Field(
        default_factory=default_data_dir, description="Folder of the database, the models and the sample recording."
    )
    database_url: str | None = Field(
        None, description="SQLAlchemy URL of the database; SQLite under the data folder when unset."
    )
    limits_url: str = Field(
        "memory://",
        description="Where rates are counted: memory:// or redis://host:port/db; cluster_redis_url in a cluster.",
    )

    # -- recognition --------------------------------------------------------------------------------------------------
    model: str = Field("whisper-base", description="Name of the model that answers.")
    live_model: str | None = Field(
        None, description="Model of the text that grows while someone speaks, if another than model."
    )
    final_model: str | None = Field(
        None, description="Model of recordings and of finished live utterances, if another than model."
    )
    served_models: str = Field(
        "",
        description="Further models that callers may ask for by name, separated by commas, or all: every installed "
        "one; each tenant may have one of them as its default.",
    )
    interface_models: str = Field(
        "",
        description="Default models of interfaces, if another than model: such as flash=sense-voice,deepgram=x-asr.",
    )
    segmentation_model: str = Field(
        "",
        description="Model that says when speakers take turns; with speaker_model, speakers of files are told apart.",
    )
    speaker_model: str = Field("", description="Model that knows voices again; see segmentation_model.")
    punctuation_model: str = Field(
        "", description="Model that punctuates finished text of sherpa-onnx models that don't, in place of the rules."
    )
    load_models: Literal["use", "start"] = Field(
        "use", description="When served_models are loaded: when one is first asked for (use), or at the start."
    )
    unload_seconds: float = Field(
        0.0,
        ge=0,
        description="A model of served_models that nobody used for so long is let go, in seconds; 0 keeps it.",
    )
    engine_processes: Literal["auto", "all", "none"] = Field(
        "auto",
        description="Which engines run in processes of their own, so that a crash of their library costs a second: "
        "those of sherpa-onnx, whose library ends the process where others raise (auto), all, or none.",
    )
    compute_threads: int = Field(0, ge=0, description="Threads of the engine; 0 takes one per physical core.")
    language: Literal["auto", "zh", "en"] = Field("auto", description="Language of all speech, or decide by utterance.")
    script: Literal["simplified", "traditional", "as-is"] = Field(
        "simplified", description="Chinese script of the text."
    )
    convert_numbers: bool = Field(False, description="Write spoken numbers, dates and money as digits.")
    phonetics: Literal["on", "off"] = Field(
        "on", description="Second pass over Chinese text by sound; off gives the engine's own characters."
    )
    language_model: Path | Literal["compact"] | None = Field(
        None, description="KenLM file for the second pass in place of the one shipped, or compact for the small model."
    )
    endpoint_silence_ms: int = Field(
        600,
        ge=200,
        le=5000,
        description="Silence after which a live utterance is final, in milliseconds; 7/12 of it after 8 s of speech.",
    )
    max_utterance_seconds: float = Field(
        20.0, ge=5, le=28, description="Longest live utterance; one that goes on is cut in its quietest place."
    )

    # -- downloads of models ------------------------------------------------------------------------------------------
    download_url: str | None = Field(
        None,
        description="Web folder of your own that is tried first for models: <url>/<model>/<file>; http is allowed.",
    )
    download_prefer: str = Field(
        "", description="Hosts to download models from before others, separated by commas, such as modelscope.cn."
    )
    download_proxy: str | None = Field(
        None, description="Proxy for downloads of models; that of the environment (HTTPS_PROXY) when unset."
    )
    hugging_face_url: str = Field("https://huggingface.co", description="What stands in for Hugging Face.")
    modelscope_url: str = Field("https://www.modelscope.cn", description="What stands in for ModelScope.")

    # -- live streams -------------------------------------------------------------------------------------------------
    journal: Literal["memory", "disk", "redis"] = Field(
        "memory",
        description="Where packets of live streams are kept until their text is final: memory; disk or redis, from "
        "which a stream goes on after a crash or restart.",
    )
    journal_key: SecretStr | None = Field(
        None, description="What the journal on disk and in Redis is encrypted with: a long random text, kept secret."
    )
    journal_url: str = Field("redis://127.0.0.1:6379/0", description="Redis of the journal, redis://host:port/db.")

    # -- limits -------------------------------------------------------------------------------------------------------
    file_max_seconds: PositiveSeconds = Field(60.0, description="Longest audio of file_recognize, in seconds.")
    flash_max_seconds: PositiveSeconds = Field(
        7200.0, description="Longest audio of flash and of OpenAI transcriptions, in seconds."
    )
    flash_max_bytes: Count = Field(
        100_000_000, description="Largest file of flash and of OpenAI transcriptions, in bytes."
    )
    audio_memory_bytes: Count = Field(
        1_000_000_000,
        description="Decoded audio that is held at once, in bytes; more is refused until some of it is done. "
        "Two hours take 230 MB.",
    )
    stream_packet_max_bytes: Count = Field(
        2_000_000, description="Largest body of one stream packet, in bytes of JSON."
    )
    stream_max_seconds: PositiveSeconds = Field(3600.0, description="Longest stream, in seconds of audio.")
    stream_idle_seconds: PositiveSeconds = Field(60.0, description="A stream without a packet for this long ends.")
    realtime_max_seconds: PositiveSeconds = Field(
        3600.0, description="Longest session of OpenAI's Realtime interface, in seconds."
    )
    stream_window: Count = Field(32, description="How far ahead of the next expected packet a sequence_id may be.")
    streams_per_tenant: Count = Field(20, description="Live streams at once for a tenant.")
    file_requests_per_second: Count = Field(20, description="file_recognize requests per second for a tenant.")
    flash_requests_per_second: Count = Field(20, description="Flash requests per second for a tenant.")
    transcription_requests_per_second: Count = Field(
        20, description="OpenAI transcription requests per second for a tenant."
    )
    stream_packets_per_second: Count = Field(
        1000, description="Packets of live streams per second for a tenant; twenty streams send about two hundred."
    )
    requests_per_tenant: Count = Field(100, description="Requests in progress at once for a tenant.")
    audio_seconds_per_day: int = Field(
        0, ge=0, description="Audio seconds a tenant may send per day (UTC); 0 sets no limit."
    )
    audio_seconds_per_month: int = Field(
        0, ge=0, description="Audio seconds a tenant may send per month (UTC); 0 sets no limit."
    )
    login_failures_per_minute: Count = Field(
        10, description="Failed logins of an app from one address in a minute before wrong ones are told to wait."
    )
    max_wait_seconds: PositiveSeconds = Field(
        10.0, description="New work is refused when its predicted wait is longer than this, in seconds."
    )
    file_timeout_seconds: PositiveSeconds = Field(
        120.0, description="Longest time for the recognition of one file_recognize request, in seconds."
    )
    flash_timeout_seconds: PositiveSeconds = Field(
        7200.0,
        description="Longest time for decoding and recognising one file of flash or OpenAI transcriptions, in seconds.",
    )
    max_lag_seconds: PositiveSeconds = Field(
        4.0,
        description="New streams are refused while live text would come later than this behind its sound with one more "
        "stream, in seconds, on average; inf sets no limit.",
    )
    stream_backlog_seconds: PositiveSeconds = Field(
        300.0,
        description="Sound of one stream that may wait to be heard, in seconds; a sender that is faster is told to "
        "slow down.",
    )
    request_timeout_seconds: PositiveSeconds = Field(
        30.0,
        description="A sender that takes longer than this for its headers, or pauses this long in its body, is cut.",
    )
    body_timeout_seconds: PositiveSeconds = Field(
        1800.0,
        description="A request's body is there within this time, in seconds, however steadily it comes; it must come "
        "at 1000 bytes a second at least. 100 MB in half an hour are 56 kB a second.",
    )
    connections_per_address: Count = Field(
        256, description="Connections at once from one address (of IPv6: from one /64); trusted proxies have no limit."
    )
    drain_lead_seconds: float = Field(
        0.0, ge=0, description="After SIGTERM, how long only /readyz says no, so that a balancer turns away first."
    )
    drain_seconds: PositiveSeconds = Field(
        30.0, description="How long a stop waits for what is in flight; new work is refused meanwhile."
    )

    # -- many machines ------------------------------------------------------------------------------------------------
    cluster_role: Literal["none", "door", "home"] = Field(
        "none",
        description="What this server is in a cluster: none works for itself; a door answers callers and recognises "
        "nothing; a home recognises and answers doors.",
    )
    cluster_redis_url: str = Field(
        "redis://127.0.0.1:6379/0", description="Redis in which the nodes of a cluster find one another's streams."
    )
    cluster_secret: SecretStr | None = Field(
        None, description="What doors and homes prove to one another that they know: a long random text, kept secret."
    )
    cluster_listen: str = Field(
        "127.0.0.1:0",
        description="Address on which a home listens for doors and they reach it, host:port; port 0 takes a free one; "
        "where the host is 0.0.0.0 they reach it by the machine's name.",
    )
    cluster_node: str = Field(
        "", description="Name of this node, as others see it; the host's name and the process id when unset."
    )

    # -- operations ---------------------------------------------------------------------------------------------------
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least severe level logged.")
    metrics_public: bool = Field(False, description="Show /metrics to other machines too, not only to this one.")
    traces: bool = Field(
        False,
        description="Send OpenTelemetry traces over HTTP to where the OTEL_... variables say; needs the extra otel.",
    )
    log_format: Literal["text", "json"] = Field("text", description="Log lines for people or for machines.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return env_settings, init_settings

    @field_validator("trusted_proxies", "keyless_networks", mode="before")
    @classmethod
    def _networks(cls, value: object) -> str:
        texts = value.split(",") if isinstance(value, str) else value
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise ValueError("write addresses and networks such as 127.0.0.1,10.0.0.0/8")
        try:
            networks = [ipaddress.ip_network(text.strip()) for text in texts if text.strip()]
        except ValueError as error:
            raise ValueError(f"{error}; write addresses and networks such as 127.0.0.1,10.0.0.0/8") from None
        return ",".join(map(str, networks))

    @field_validator("served_models", mode="before")
    @classmethod
    def _names(cls, value: object) -> str:
        names = value.split(",") if isinstance(value, str) else value
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError("write names of models such as whisper-base,sense-voice")
        return ",".join(dict.fromkeys(name.strip() for name in names if name.strip()))

    @field_validator("interface_models", mode="before")
    @classmethod
    def _by_interface(cls, value: object) -> str:
        if isinstance(value, dict):
            value = ",".join(f"{interface}={name}" for interface, name in value.items())
        pairs = [pair.strip() for pair in value.split(",") if pair.strip()] if isinstance(value, str) else [""]
        for pair in pairs:
            interface, _, name = pair.partition("=")
            if interface.strip() not in INTERFACES or not name.strip():
                raise ValueError(f"write such as flash=sense-voice; the interfaces are {', '.join(INTERFACES)}")
        return ",".join(pairs)

    @field_validator("download_url", "download_proxy", "hugging_face_url", "modelscope_url")
    @classmethod
    def _web_address(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"https?://[^/\s]+(/\S*)?", value):
            raise ValueError("write an address such as https://mirror.example.com/models")
        return value

    @model_validator(mode="after")
    def _tls_needs_both(self) -> Settings:
        if (self.tls_certificate is None) != (self.tls_key is None):
            missing = "tls_key" if self.tls_key is None else "tls_certificate"
            raise ValueError(f"{missing} is missing: TLS needs both tls_certificate and tls_key")
        return self

    @model_validator(mode="after")
    def _journal_needs_a_key(self) -> Settings:
        if self.journal != "memory" and (
            self.journal_key is None or len(self.journal_key.get_secret_value()) < _LEAST_SECRET
        ):
            raise ValueError(
                f"journal_key is missing or short: journal={self.journal} needs one of {_LEAST_SECRET} characters "
                "or more, such as `openssl rand -hex 32` gives"
            )
        return self

    @field_validator("cluster_listen")
    @classmethod
    def _host_and_port(cls, value: str) -> str:
        if not re.fullmatch(r"\S+:\d{1,5}", value) or int(value.rpartition(":")[2]) > 65535:
            raise ValueError("write host:port such as 10.0.0.5:8400")
        return value

    @model_validator(mode="before")
    @classmethod
    def _a_cluster_counts_together(cls, values: dict[str, Any]) -> dict[str, Any]:
        if values.get("cluster_role", "none") != "none" and "limits_url" not in values:
            shared = values.get("cluster_redis_url", cls.model_fields["cluster_redis_url"].default)
            return {**values, "limits_url": shared}
        return values

    @model_validator(mode="after")
    def _cluster_needs_a_secret(self) -> Settings:
        if self.cluster_role == "none":
            return self
        if self.cluster_secret is None or len(self.cluster_secret.get_secret_value()) < _LEAST_SECRET:
            raise ValueError(
                f"cluster_secret is missing or short: cluster_role={self.cluster_role} needs one of {_LEAST_SECRET} "
                "characters or more, the same on every node, such as `openssl rand -hex 32` gives"
            )
        if self.journal != "memory":
            raise ValueError("journal is set: leave it unset, a cluster keeps its journal in cluster_redis_url")
        return self

    @property
    def node(self) -> str:
        """The name of this node of a cluster."""
        return self.cluster_node or f"{socket.gethostname()}-{os.getpid()}"

    @model_validator(mode="after")
    def _speakers_need_both(self) -> Settings:
        if bool(self.segmentation_model) != bool(self.speaker_model):
            missing = "segmentation_model" if self.speaker_model else "speaker_model"
            raise ValueError(f"{missing} is missing: speakers are told apart by segmentation_model and speaker_model")
        return self

    @property
    def model_of_interface(self) -> dict[str, str]:
        """The default models of interfaces that have one of their own."""
        pairs = (pair.partition("=") for pair in self.interface_models.split(",") if pair)
        return {interface.strip(): name.strip() for interface, _, name in pairs}

    @property
    def tls(self) -> bool:
        """Whether the server speaks TLS."""
        return self.tls_certificate is not None

    @property
    def models_dir(self) -> Path:
        """Where installed models lie, a folder each."""
        return self.data_dir / "models"

    @property
    def database(self) -> str:
        """The SQLAlchemy URL in force."""
        return self.database_url or f"sqlite:///{self.data_dir / 'lingting.db'}"


def load(**overrides: Any) -> Settings:
    """Read the settings from the environment and the TOML file; `overrides` stand below the environment.

    Raises:
        SettingsError: a name is unknown or a value invalid; the message names it and where it came from.
    """
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    for name in sorted(os.environ):
        if name.startswith(PREFIX) and name not in known | NOT_SETTINGS:
            raise SettingsError(f"unknown setting {name} in the environment{_suggestion(name, known)}")
    file, values = _read_file(overrides)
    try:
        return Settings(**{**values, **overrides})
    except ValidationError as error:
        first = error.errors()[0]
        if not first["loc"]:
            raise SettingsError(f"invalid settings: {first['msg'].removeprefix('Value error, ')}") from None
        name = str(first["loc"][0])
        env = PREFIX + name.upper()
        source = f"{env} in the environment" if env in os.environ else f"{name} in {file}" if name in values else name
        raise SettingsError(f"invalid setting {source}: {first['msg']}, got {first['input']!r}") from None


def sources() -> dict[str, str]:
    """Where each setting's value comes from: "environment", the path of the TOML file, or "default"."""
    file, values = _read_file({})
    return {
        name: "environment" if PREFIX + name.upper() in os.environ else str(file) if name in values else "default"
        for name in Settings.model_fields
    }


def settings_path(data_dir: Path | None = None) -> Path:
    """The TOML file of the settings, which need not exist; `data_dir` stands below the environment."""
    if path := os.environ.get("LINGTING_CONFIG"):
        return Path(path)
    return Path(os.environ.get("LINGTING_DATA_DIR") or data_dir or default_data_dir()) / "lingting.toml"


def _read_file(overrides: dict[str, Any]) -> tuple[Path, dict[str, Any]]:
    file = settings_path(overrides.get("data_dir"))
    values: dict[str, Any] = {}
    if os.environ.get("LINGTING_CONFIG") or file.is_file():
        try:
            values = tomllib.loads(file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise SettingsError(f"the settings file {file} cannot be read: {error}") from error
        for name in values:
            if name not in Settings.model_fields:
                raise SettingsError(f"unknown setting {name} in {file}{_suggestion(name, set(Settings.model_fields))}")
    return file, values


def _suggestion(name: str, known: set[str]) -> str:
    import difflib

    # without the prefix that all share, or any two names would be alike
    prefix = PREFIX if name.startswith(PREFIX) else ""
    close = difflib.get_close_matches(
        name.removeprefix(prefix), sorted(each.removeprefix(prefix) for each in known), n=1
    )
    return f"; did you mean {prefix}{close[0]}?" if close else "; `lingting settings` lists every setting"
