"""`lingting models check`: an installed model hears a recording whose words are known.

The model is loaded in a process of its own: some libraries end the process instead of raising an error.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from typing import Annotated, Any

import typer

from lingting.errors import LingtingError, ModelError

_MOST_ERRORS = 0.35
_TIMEOUT_SECONDS = 600.0


def check_model(
    name: Annotated[str, typer.Argument(help="Name of the model.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Let an installed model hear a shipped recording: text, errors, speed, memory, and whether all is well.

    Exit codes: 0 all is well, 1 it is not.
    """
    result = examine(name)
    if as_json:
        typer.echo(json.dumps(result, indent=2, ensure_ascii=False))
    else:
        speed = result["audio_seconds"] / result["seconds"]
        typer.echo(f"text     {result['text']}")
        typer.echo(f"errors   {result['errors']:.1%} of the characters of {result['reference']}")
        typer.echo(f"speed    {result['seconds']:.2f} s, {speed:.1f} times as fast as it is spoken")
        typer.echo(f"loading  {result['load_seconds']:.1f} s")
        typer.echo(f"memory   {result['memory_mb']} MB at most, for the whole process")
        typer.echo(f"{name}: {result['problem'] or 'all is well'}")
    if result["problem"]:
        raise typer.Exit(1)


def examine(name: str) -> dict[str, Any]:
    """Run the model on the recording in a child process.

    Raises:
        ModelError: it is not installed, cannot be loaded, or ended its process.
    """
    from lingting.models.store import Store
    from lingting.models.vetting import vet
    from lingting.served_models import DEAF
    from lingting.settings import load

    if vet(Store.at(load().models_dir), name).engine in DEAF:
        raise ModelError(f"{name} recognises nothing by itself, so there is nothing to hear")
    try:
        child = subprocess.run(  # noqa: S603
            [sys.executable, "-m", __name__, name],
            capture_output=True,
            text=True,
            check=False,
            timeout=_TIMEOUT_SECONDS,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        raise ModelError(f"{name} was not done after {_TIMEOUT_SECONDS:.0f} s") from None
    try:
        result = json.loads(child.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        words = child.stderr.strip().splitlines()
        raise ModelError(
            f"{name} ended its process ({_ending(child.returncode)}): {words[-1] if words else 'without a word'}"
        ) from None
    if "error" in result:
        raise ModelError(result["error"])
    return dict(result)


def _ending(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def hear(name: str) -> dict[str, Any]:
    """Load the model in this process and let it hear the recording, once to be warm and once on the clock."""
    from lingting import samples
    from lingting.settings import load
    from lingting.text.scoring import error_rate
    from lingting.transcriber import Transcriber

    sample = samples.contents()["sample.wav"]
    began = time.perf_counter()
    with Transcriber(name, settings=load()) as transcriber:
        loaded = time.perf_counter()
        transcriber.transcribe(sample)
        warm = time.perf_counter()
        transcript = transcriber.transcribe(sample)
        done = time.perf_counter()
    errors = error_rate(samples.TEXT, transcript.text).rate
    return {
        "name": name,
        "text": transcript.text,
        "reference": samples.TEXT,
        "errors": round(errors, 4),
        "audio_seconds": round(transcript.duration, 3),
        "seconds": round(done - warm, 3),
        "load_seconds": round(loaded - began, 3),
        "memory_mb": _peak_memory_mb(),
        "problem": _problem(errors, done - warm, transcript.duration),
    }


def _problem(errors: float, seconds: float, duration: float) -> str | None:
    if errors > _MOST_ERRORS:
        return "it heard something else than what was said; it is damaged, or not made for Chinese"
    if seconds > duration:
        return "it is slower than speech on this machine; use a smaller one, or more cores"
    return None


def _peak_memory_mb() -> int:
    """The most memory that this process had; Linux counts in kB, macOS in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1e6 if sys.platform == "darwin" else 1e3))


def main() -> None:
    """In the child: one line of JSON, the result or the error."""
    try:
        result = hear(sys.argv[1])
    except LingtingError as error:
        result = {"error": str(error)}
    sys.stdout.write("\n" + json.dumps(result, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
