"""The `lingting` command: a sub-command's module is imported when it is called, so that the command itself is quick."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from lingting.command_name import as_typed
from lingting.errors import LingtingError

# name: (module, attribute, what `lingting --help` says)
COMMANDS = {
    "serve": ("lingting.cli.serve", "app", "Start the server."),
    "transcribe": ("lingting.cli.transcribe", "app", "Write down what is said in recordings."),
    "listen": ("lingting.cli.listen", "app", "Show what a microphone hears, as it is said."),
    "doctor": ("lingting.cli.doctor", "app", "Check this machine and say what to mend."),
    "ready": ("lingting.cli.ready", "app", "Ask the server of these settings whether it takes requests."),
    "cluster": ("lingting.cli.cluster", "app", "Start, show and stop several machines as one service."),
    "models": ("lingting.cli.models", "app", "List, show, pull, verify, remove, use and check models."),
    "tenants": ("lingting.cli.access", "tenants", "Create, list, limit, disable and delete tenants."),
    "apps": ("lingting.cli.access", "apps", "Create, list, rotate, disable and delete apps (app_id and app_secret)."),
    "keys": ("lingting.cli.access", "keys", "Create, list, rotate, disable and delete API keys."),
    "tokens": ("lingting.cli.access_tokens", "app", "Replace the key that signs tokens."),
    "audit": ("lingting.cli.access_audit", "app", "Show who changed which credential, when, from where."),
    "usage": ("lingting.cli.access", "usage", "Show who has used how much."),
    "settings": ("lingting.cli.settings", "app", "List every setting, its value and where that comes from."),
}


class LazyGroup(TyperGroup):
    """A group whose sub-commands are known by name and help; a module is imported when its command is called."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        return typer.core.TyperCommand(cmd_name, help=COMMANDS[cmd_name][2])

    def get_params(self, ctx: Any) -> list[Any]:
        return [_plain(each) for each in super().get_params(ctx)]

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        if name in COMMANDS:
            module, attribute, _ = COMMANDS[name]
            loaded = getattr(importlib.import_module(module), attribute)
            command = typer.main.get_command(loaded)
            command.name = name
            _plain_flags(command, ctx)
        return name, command, rest


def _plain(option: Any) -> Any:
    if getattr(option, "is_flag", False):
        option.metavar = ""
    return option


def _plain_flags(command: Any, ctx: Any) -> None:
    """Help shows `--json`, not `--json <bool>`, for all that takes no value."""
    for option in (*command.params, *([command.get_help_option(ctx)] if ctx else [])):
        _plain(option)
    for inner in getattr(command, "commands", {}).values():
        _plain_flags(inner, ctx)


app = typer.Typer(
    cls=LazyGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from lingting import __version__

        typer.echo(f"lingting {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=False)
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the whole trace of an error.")] = False,
) -> None:
    """Lingting (聆听): self-hosted Chinese and English speech recognition."""


def main() -> NoReturn:
    """Run the command: an error of the domain is one line on standard error and exit code 1."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        app(prog_name="lingting")
    except LingtingError as error:
        if "--debug" in sys.argv[1:]:
            raise
        sys.stderr.write(f"lingting: {as_typed(str(error))}\n")
    except BrokenPipeError:
        # who read the output has gone; nothing more can be flushed to it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(1)


def _interrupt(signum: int, frame: FrameType | None) -> None:
    """Stop like on Ctrl-C, so that what is half done is put away."""
    raise KeyboardInterrupt
