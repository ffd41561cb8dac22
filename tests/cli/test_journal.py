"""The commands for a journal's file."""

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from scheduler import Scheduler, State
from scheduler.cli import app
from scheduler.simulator import Simulator

from .. import virtual_time
from ..postgres import PASSWORD, PostgresServer


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """A journal with two finished submissions in it."""
    path = tmp_path / "scheduler.db"

    async def work() -> None:
        async with (
            Simulator(port=None) as sim,
            Scheduler(
                [sim.account("main")], journal=f"sqlite:///{path}", transport=sim.transport
            ) as scheduler,
        ):
            borrowing = (scheduler.borrow("main", "USDT", "1", key=k) for k in ("a", "b"))
            entries = await asyncio.gather(*borrowing)
            assert {entry.state for entry in entries} == {State.CONFIRMED}

    virtual_time.run(work())
    return path


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = app.run(arguments)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_sound_journal_is_said_to_be_sound(
    journal: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = said(capsys, "journal", "verify", str(journal))
    assert (code, out) == (0, f"{journal}: sound\n")
    code, out, _ = said(capsys, "journal", "verify", f"sqlite:///{journal}", "--json")
    assert code == 0
    assert json.loads(out) == {"file": str(journal), "is_sound": True, "findings": []}


def test_a_journal_that_is_not_sound_is_exit_1(
    journal: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(sqlite3.connect(journal)) as connection:
        connection.execute("UPDATE entries SET tran_id = NULL")
        connection.commit()
    code, out, _ = said(capsys, "journal", "verify", str(journal))
    assert code == 1
    assert "finding" in out.splitlines()[-1]


def test_a_file_that_is_missing_is_one_line_and_exit_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in ("verify", "archive"):
        code, out, err = said(capsys, "journal", command, str(tmp_path / "none.db"))
        assert (code, out) == (2, "")
        assert err.count("\n") == 1
        assert "none.db: there is no such file" in err


def test_old_submissions_are_archived_and_still_answered_for(
    journal: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # The simulated exchange's time is years ago, so both are old.
    code, out, _ = said(capsys, "journal", "archive", str(journal), "--json")
    assert code == 0
    assert json.loads(out) == {"file": str(journal), "archived": 2}
    assert said(capsys, "journal", "verify", str(journal))[0] == 0
    assert (journal.parent / "scheduler.archive.db").exists()


def test_a_journal_is_copied_to_postgresql_and_found_sound(
    journal: Path,
    postgres: PostgresServer,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = postgres.url().replace(f":{PASSWORD}", "")
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    code, out, err = said(capsys, "journal", "copy", str(journal), url)
    assert (code, out) == (0, f"{journal}: 2 submissions copied to {url}\n")
    assert err.splitlines()[0] == "entries: 2 of 2"
    assert said(capsys, "journal", "verify", url) == (0, f"{url}: sound\n", "")
    code, out, err = said(capsys, "journal", "copy", str(journal), url, "--json")
    assert (code, out) == (2, "")
    assert err.endswith("it holds a journal already\n")


@pytest.mark.parametrize("given", ["//me:hunter2@host/db", "//me@host/db?password=hunter2"])
@pytest.mark.parametrize("command", [("copy", "FILE"), ("verify",)])
def test_a_password_in_the_command_line_is_refused(
    journal: Path, capsys: pytest.CaptureFixture[str], command: tuple[str, ...], given: str
) -> None:
    arguments = [str(journal) if each == "FILE" else each for each in command]
    code, out, err = said(capsys, "journal", *arguments, f"postgresql:{given}")
    assert (code, out) == (2, "")
    assert "PGPASSWORD" in err
    assert "hunter2" not in err
