"""The options and arguments that the commands on tenants, apps, keys and tokens share."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from lingting.access.directory import Directory

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def seconds(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", text.strip())
    if text.strip() == "0":
        return 0.0
    if not match:
        raise typer.BadParameter(f"{text!r} is not a time such as 90m, 12h or 30d")
    return float(match[1]) * _UNITS[match[2]]


def day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a date such as 2026-01-31") from None


def _expiry(text: str) -> datetime:
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
        return datetime.combine(day(text), datetime.min.time(), UTC)
    try:
        return datetime.fromtimestamp(datetime.now(UTC).timestamp() + seconds(text), UTC)
    except (OverflowError, OSError, ValueError):
        raise typer.BadParameter(f"{text!r} is too far away") from None


def _limit(text: str) -> tuple[str, int | None]:
    name, _, value = text.partition("=")
    if value != "default" and not re.fullmatch(r"\d{1,15}", value):
        raise typer.BadParameter(f"{text!r} is not NAME=NUMBER or NAME=default, such as streams=40")
    return name.strip().replace("-", "_"), None if value == "default" else int(value)


Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Name = Annotated[str, typer.Argument(help="A name to know it by.", show_default=False)]
TenantRef = Annotated[str, typer.Argument(metavar="TENANT", help="Name or id of the tenant.", show_default=False)]
AppRef = Annotated[str, typer.Argument(metavar="APP", help="app_id or name of the app.", show_default=False)]
KeyRef = Annotated[str, typer.Argument(metavar="KEY", help="Id or name of the key.", show_default=False)]
OfTenant = Annotated[str, typer.Option("--tenant", metavar="TENANT", help="The tenant it belongs to.")]
OnlyTenant = Annotated[
    str | None, typer.Option("--tenant", metavar="TENANT", help="Only this tenant's.", show_default=False)
]
Scopes = Annotated[
    list[str] | None,
    typer.Option(
        "--scope",
        help="What it may do; repeatable: speech_to_text:speech, audio:flash, audio:transcriptions, operator. Unless "
        "said, the first three.",
        show_default=False,
    ),
]
Models = Annotated[
    list[str] | None,
    typer.Option("--model", help="A model it may use; repeatable. Every model unless said.", show_default=False),
]
Owner = Annotated[str, typer.Option("--owner", help="Who answers for it; its own name unless said.")]
Note = Annotated[str, typer.Option("--note", help="Anything worth remembering.")]
Expires = Annotated[
    datetime | None,
    typer.Option("--expires", parser=_expiry, metavar="TIME", help="30d, 12h, or a date (UTC).", show_default=False),
]
Grace = Annotated[
    float | None,
    typer.Option(
        "--grace",
        parser=seconds,
        metavar="TIME",
        help="How long the old one goes on: 1h, 2d; not at all unless said.",
        show_default=False,
    ),
]
LimitOptions = Annotated[
    list[Any] | None,
    typer.Option(
        "--limit", parser=_limit, metavar="NAME=VALUE", help="streams=40, or =default; repeatable.", show_default=False
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
AddedWords = Annotated[
    list[str] | None,
    typer.Option("--add", metavar="WORD", help="A word to listen for; repeatable.", show_default=False),
]
RemovedWords = Annotated[
    list[str] | None,
    typer.Option("--remove", metavar="WORD", help="A word to take out; repeatable.", show_default=False),
]
WordsFile = Annotated[
    typer.FileText | None,
    typer.Option(
        "--file", encoding="utf-8-sig", help="Words to add, one a line; - reads standard input.", show_default=False
    ),
]
ClearWords = Annotated[bool, typer.Option("--clear", help="Take all words out first.")]


@contextmanager
def opened_directory() -> Iterator[Directory]:
    """The directory of the database that the settings name."""
    from lingting.access.directory import opened
    from lingting.settings import load

    with opened(load().database) as directory:
        yield directory
