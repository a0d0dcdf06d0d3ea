"""What a folder of the operator's own holds: as `model.toml` in it says, else as its files show."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path

import msgspec

from lingting.errors import ModelError
from lingting.models import onnx_metadata
from lingting.models.catalogue import Model

NAME = "model.toml"
_KEYS = ("engine", "description", "languages", "licence", "memory_mb", "punctuates", "roles", "options")


def describe(folder: Path) -> Model:
    """The model in a folder.

    Raises:
        ModelError: `model.toml` is wrong, or there is none and the files do not say what they are.
    """
    description = folder / NAME
    if not description.is_file():
        return _from_files(folder)
    try:
        entry = tomllib.loads(description.read_text(encoding="utf-8"))
        unknown = sorted(set(entry) - set(_KEYS))
        if unknown:
            raise ModelError(f"unknown key {unknown[0]!r} in {description}; it takes {', '.join(_KEYS)}")
        model = msgspec.convert({"name": folder.name, "languages": (), **entry}, Model)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ModelError(f"{description} cannot be used: {error}") from error
    for role, path in model.roles.items():
        if Path(path).is_absolute() or ".." in Path(path).parts or not (folder / path).exists():
            raise ModelError(f"{description} names {path} as the {role}, which is not in the folder")
    return model


def _from_files(folder: Path) -> Model:
    if (folder / "model.bin").is_file() and (folder / "config.json").is_file():
        return Model(name=folder.name, engine="whisper-ctranslate2", description=_OURS, languages=(), punctuates=True)
    for roles, kind in _FAMILIES:
        files = {role: path for role in roles if (path := _find(folder, role))}
        if len(files) == len(roles) and (engine := kind(folder, files)):
            return Model(name=folder.name, engine=engine, description=_OURS, languages=(), roles=files)
    raise ModelError(
        f"the files in {folder} do not say what model they are; write a {NAME} into it with engine and roles, as "
        "`lingting models show NAME` shows them for the models of the catalogue"
    )


_OURS = "A model of your own."


def _find(folder: Path, role: str) -> str | None:
    """The file for a role, by the names under which models are published; the int8 one of several."""
    if role == "tokens":
        return "tokens.txt" if (folder / "tokens.txt").is_file() else None
    if role == "tokenizer":
        found = sorted(path.parent.name for path in folder.glob("*/vocab.json"))
        return found[0] if found else None
    names = sorted(path.name for path in folder.glob(f"{role}*.onnx"))
    return next((name for name in names if "int8" in name), names[0] if names else None)


def _metadata(folder: Path, file: str) -> dict[str, str]:
    return onnx_metadata.read(folder / file).metadata


def _transducer(folder: Path, files: dict[str, str]) -> str:
    return "transducer-streaming" if "decode_chunk_len" in _metadata(folder, files["encoder"]) else "transducer"


def _encoder_decoder(folder: Path, files: dict[str, str]) -> str | None:
    metadata = _metadata(folder, files["encoder"])
    if "encoder_output_size" in metadata:
        return "paraformer-streaming"
    return "fire_red_aed" if {"num_decoder_layers", "sos"} <= metadata.keys() else None


def _single(folder: Path, files: dict[str, str]) -> str | None:
    metadata = _metadata(folder, files["model"])
    if metadata.get("model_type", "").startswith("fire-red-asr"):
        return "fire_red_ctc"
    if "decode_chunk_len" in metadata:
        return "ctc-streaming"
    if "lfr_window_size" in metadata:
        return "sense_voice" if "with_itn" in metadata else "paraformer"
    return None


def _always(kind: str) -> Callable[[Path, dict[str, str]], str | None]:
    return lambda folder, files: kind


_FAMILIES: tuple[tuple[tuple[str, ...], Callable[[Path, dict[str, str]], str | None]], ...] = (
    (("conv_frontend", "encoder", "decoder", "tokenizer"), _always("qwen3_asr")),
    (("encoder_adaptor", "llm", "embedding", "tokenizer"), _always("funasr_nano")),
    (("tokens", "encoder", "decoder", "joiner"), _transducer),
    (("tokens", "encoder", "decoder"), _encoder_decoder),
    (("tokens", "model"), _single),
)
