"""The command as a process of its own, as a shell would start it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import scheduler

ROOT = Path(scheduler.__file__).parents[1]
COMMAND = [sys.executable, "-m", "scheduler"]
TIMEOUT_S = 30

_ABOUT_COLOUR = ("NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "TTY_COMPATIBLE", "COLUMNS")


def environment(path: Path = ROOT) -> dict[str, str]:
    """This process's, without what changes how output looks, and with what should not."""
    kept = {name: value for name, value in os.environ.items() if name not in _ABOUT_COLOUR}
    return {**kept, "PYTHONPATH": str(path), "GITHUB_ACTIONS": "true"}


def run(*arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Runs it to its end with the package that is in the folder."""
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        cwd=folder,
        env=environment(folder),
        check=False,
    )


@contextmanager
def started(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The running command; killed at the end if it has not ended by then."""
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment(),
    )
    with process:
        try:
            yield process
        finally:
            process.kill()
