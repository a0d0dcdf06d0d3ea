"""Writes one setting into the TOML file, as a person would: everything else in it stays, comments too."""

from __future__ import annotations

import json
import os
import re
import tempfile
import tomllib
from pathlib import Path

from lingting.errors import SettingsError
from lingting.settings import settings_path

_VALUE = r"""(?:"[^"]*"|'[^']*'|[^\s#"']+)"""
"""A value that fits on a line."""


def write(name: str, value: str) -> Path:
    """Give a setting a value in the settings file, which is made if there is none, and return the file.

    Raises:
        SettingsError: the file cannot be read or written, or the setting stands in it in a way that only a person
            should change.
    """
    path = settings_path()
    try:
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        before = tomllib.loads(text)
        after = changed(text, name, value)
        if tomllib.loads(after) != {**before, name: value}:
            raise SettingsError(f"write {name} = {json.dumps(value)} into {path} by hand: it stands there over lines")
        _replace(path, after)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"the settings file {path} cannot be changed: {error}") from error
    return path


def changed(text: str, name: str, value: str) -> str:
    """The text of a TOML file with a top-level key changed where it stands, or added behind the others."""
    line = f"{name} = {json.dumps(value, ensure_ascii=False)}"
    lines = text.splitlines(keepends=True)
    top = next((number for number, each in enumerate(lines) if each.lstrip().startswith("[")), len(lines))
    for number in range(top):
        if found := re.fullmatch(rf"(\s*){re.escape(name)}\s*=\s*{_VALUE}(\s*(?:#.*)?\n?)", lines[number]):
            lines[number] = found[1] + line + found[2]
            return "".join(lines)
    if top and not lines[top - 1].endswith("\n"):
        lines[top - 1] += "\n"
    return "".join([*lines[:top], line + "\n", *lines[top:]])


def _replace(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path = path.resolve()
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as output:
            output.write(text)
            output.flush()
            os.fsync(output.fileno())
        Path(temporary).chmod(mode)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
