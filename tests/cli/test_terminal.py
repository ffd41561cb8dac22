"""On a terminal there are colours and lanes that move; --no-color leaves the colours out."""

import os
import re
import subprocess
import sys

import pytest

from scheduler.cli.output import console

from .command import COMMAND, ROOT, environment

if sys.platform == "win32":
    pytest.skip("has no pseudo terminals", allow_module_level=True)

import pty

COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-9][0-9;]*m")
CURSOR_UP = "\x1b[1A"


def shown_on_a_terminal(*arguments: str) -> str:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=ROOT,
        env={**environment(), "TERM": "xterm-256color"},
    )
    os.close(theirs)
    shown = b""
    with process:
        try:
            while chunk := os.read(ours, 65_536):
                shown += chunk
        except OSError:  # what Linux says when the other end is closed
            pass
        finally:
            os.close(ours)
    assert process.returncode == 0
    return shown.decode()


def test_lanes_move_in_colours() -> None:
    shown = shown_on_a_terminal("demo", "--accounts", "2", "--requests", "3")
    assert COLOUR.search(shown)
    assert CURSOR_UP in shown
    assert "account-2" in shown
    assert "All as it should be: 6 requests, each exactly once." in shown


def test_colours_can_be_had_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # a terminal, as far as rich knows
    assert not console().no_color
    assert console(no_color=True).no_color
    monkeypatch.setenv("NO_COLOR", "1")
    assert console().no_color
