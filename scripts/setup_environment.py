"""Makes the virtual environment and installs what the locks name; does nothing when all is in place.

Usage: setup_environment.py {serve,dev,ray} [ENVIRONMENT]

Runs on the bare interpreter, standard library only. A stamp in the environment says what was installed: the locks, the
project's metadata, the interpreter and the folder. An environment whose installation was cut short is made anew.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCKS = {
    "serve": ["requirements/serve.txt"],
    "dev": ["requirements/serve.txt", "requirements/dev.txt"],
    "ray": ["requirements/serve.txt", "requirements/dev.txt", "requirements/ray.txt"],
}
# what the others have in common with these is in these
INSTALLED = {
    "serve": ["requirements/serve.txt"],
    "dev": ["requirements/dev.txt"],
    "ray": ["requirements/dev.txt", "requirements/ray.txt"],
}


def main() -> int:
    profile = sys.argv[1]
    environment = Path(sys.argv[2] if len(sys.argv) > 2 else ".venv")
    environment = environment if environment.is_absolute() else ROOT / environment
    try:
        return set_up(environment, profile)
    except PermissionError as error:
        print(
            f"{error.filename} cannot be used by this user: run make as the user who set it up, or in a checkout of "
            "your own.",
            file=sys.stderr,
        )
        return 1


def set_up(environment: Path, profile: str) -> int:
    """Bring the environment up to date where it is not; returns an exit code."""
    if environment.is_dir():
        next(environment.iterdir(), None)  # newer Pythons take what cannot be read for absent
    if up_to_date(environment, profile):
        return 0
    environment.parent.mkdir(parents=True, exist_ok=True)
    (ROOT / ".cache").mkdir(exist_ok=True)
    with lock_of(environment).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # released by the system when this process ends, however it ends
        if up_to_date(environment, profile):
            return 0
        try:
            install(environment, profile)
        except subprocess.CalledProcessError as error:
            print(f"\nThe set-up failed (exit code {error.returncode}); the lines above say why.", file=sys.stderr)
            return 1
        except PermissionError:
            raise
        except OSError as error:
            print(f"\nThe set-up failed: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("\nThe set-up was interrupted; the same command starts it again.", file=sys.stderr)
            return 130
    return 0


def lock_of(environment: Path) -> Path:
    """The file that is locked while this environment is made; one of another name may be made meanwhile."""
    return ROOT / ".cache" / f"setup-{environment.name}.lock"


def install(environment: Path, profile: str) -> None:
    """Make the environment where there is none that works, then install the locked packages and the project."""
    python = environment / "bin" / "python"
    unfinished = environment / "unfinished"
    if unfinished.exists() or not works(python):
        say(f"Making {environment} with Python {sys.version.split()[0]} ...")
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(environment)], check=True)
    unfinished.touch()
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--no-input"]
    locks = INSTALLED[profile]
    say(f"Installing {' and '.join(locks)} (versions and hashes are pinned) ...")
    # pip lists each package that is there already: on a second run that is noise
    quiet = ["-q"] if stamp(environment).is_file() else []
    subprocess.run([*pip, *quiet, "--require-hashes", *(f"-r{lock}" for lock in locks)], check=True, cwd=ROOT)
    subprocess.run([*pip, "-q", "--no-build-isolation", "--no-deps", "-e", "."], check=True, cwd=ROOT)
    stamp(environment).write_text(json.dumps({name: key(name, environment) for name in covered(profile)}))
    unfinished.unlink()
    say("Everything is installed.")


def covered(profile: str) -> list[str]:
    """The profiles that are complete once this one is installed."""
    return [name for name, locks in LOCKS.items() if set(locks) <= set(LOCKS[profile])]


def up_to_date(environment: Path, profile: str) -> bool:
    """Whether the environment was finished with exactly the present locks, in this folder."""
    if (environment / "unfinished").exists() or not (environment / "bin" / "python").exists():
        return False
    try:
        stamps = json.loads(stamp(environment).read_text())
    except (OSError, ValueError):
        return False
    return isinstance(stamps, dict) and stamps.get(profile) == key(profile, environment)


def stamp(environment: Path) -> Path:
    return environment / "installed.json"


def key(profile: str, environment: Path) -> str:
    """What an installation depends on, as one digest."""
    digest = hashlib.sha256(f"{ROOT}\n{environment}\n".encode())
    for name in [*LOCKS[profile], "pyproject.toml"]:
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def works(python: Path) -> bool:
    """Whether this is an interpreter that is new enough and has pip."""
    check = "import sys, pip; sys.exit(sys.version_info < (3, 11))"
    try:
        return subprocess.run([str(python), "-c", check], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
