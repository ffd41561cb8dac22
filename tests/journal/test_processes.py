"""Real processes on a real file: killed, and without room."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

from scheduler.journal.verify import verify

from ..virtual_time import run
from .shelves import opened

CYCLES = 4


def writer(path: Path, *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.journal.writer", str(path), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def killed_after(path: Path, name: str, lines: int) -> list[str]:
    """What a writer said that was killed as soon as it had said so much."""
    with writer(path, name) as process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(lines)]
        process.kill()
        return [*said, *process.stdout]


async def versions(path: Path, keys: set[str]) -> dict[str, int]:
    async with opened(path) as journal:
        entries = [await journal.get(key) for key in keys]
    return {entry.key: entry.version for entry in entries if entry is not None}


def test_what_was_acknowledged_outlives_kill_9(path: Path) -> None:
    chance = random.Random(9)
    acknowledged: dict[str, int] = {}
    for cycle in range(CYCLES):
        for line in killed_after(path, f"life{cycle}", chance.randint(1, 1_500)):
            key, version = line.split()
            acknowledged[key] = int(version)
        assert Path(f"{path}-wal").stat().st_size > 0
        assert verify(str(path)) == []
        found = run(versions(path, set(acknowledged)))
        lost = {key for key, version in acknowledged.items() if found.get(key, 0) < version}
        assert lost == set()
    assert len(acknowledged) > 100


@pytest.mark.parametrize("room", [300_000, 3_000_000])
def test_a_journal_without_room_says_so_and_goes_on_when_there_is_some(
    path: Path, room: int
) -> None:
    with writer(path, "k", "--file-max", str(room)) as process:
        said = process.communicate()[0].splitlines()
    (full,) = (line for line in said if line.startswith("full"))
    assert f"journal {path}: " in full
    assert "disk" in full
    assert said[-1] == "done"
    keys = {line.split()[0] for line in said if line.startswith("k-")}
    assert len(keys) > 10
    assert run(versions(path, keys)) == dict.fromkeys(keys, 1)
    assert verify(str(path)) == []
