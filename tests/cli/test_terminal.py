"""On a terminal there are colours and lanes that move; --no-color leaves the colours out."""

import os
import re
import subprocess
import sys

import pytest

from scheduler.cli.client.entries import listed
from scheduler.cli.client.printing import say
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


def test_nothing_is_cut_off_on_a_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # a terminal, as far as rich knows
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "60")
    key = "k" * 64
    entry = {
        "key": key,
        "state": "CONFIRMED",
        "account": "main",
        "kind": "BORROW",
        "asset": "USDT",
        "requested": "99999999999.12345678",
        "amount": "99999999999.12345678",
        "submitted_at_ms": 1_700_000_000_000,
        "tran_id": 9_100_000_000_001_549,
    }
    say({}, listed([entry]), as_json=False)
    (row,) = (line for line in capsys.readouterr().out.splitlines() if key in line)
    assert "\N{HORIZONTAL ELLIPSIS}" not in row
    for told in ("CONFIRMED", "99999999999.12345678", "9100000000001549", ":20.000+00:00"):
        assert told in row
