"""Lives of the scheduler, as far as every change can afford them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .pipes import Kind, Place
from .simulate.__main__ import main, run_seed

PLAIN_LIVES = 600
"""More by `python -m tests.simulate --seeds N`."""
LIVES_WITH_LOOKS = 300
STACK_LIVES = 200

RARE = {
    "SENT to UNKNOWN",
    "UNKNOWN to QUEUED",
    "UNKNOWN to NOT_EXECUTED",
    "UNKNOWN to UNRESOLVED",
    "UNRESOLVED to CONFIRMED",
    "ACCEPTED to REJECTED",
    "alarm shared_account",
    "alarm failed_record",
}
RARE_PLAIN = {*RARE, "UNRESOLVED to NOT_EXECUTED"}
RARE_STACK = {
    *RARE,
    "crash",
    "SENT when the process died",
    "written and not heard of",
    "bytes that came after the close",
    "writes that shared a commit",
    *(f"{kind} at {place}" for kind in Kind for place in Place),
}


def lives(capsys: pytest.CaptureFixture[str], stack: str, seeds: int) -> str:
    assert main(["--stack", stack, "--seeds", str(seeds)]) == 0, capsys.readouterr().out
    return capsys.readouterr().out


def test_no_life_breaks_a_promise_and_the_rare_branches_are_reached(
    capsys: pytest.CaptureFixture[str],
) -> None:
    report = lives(capsys, "plain", PLAIN_LIVES)
    assert not [branch for branch in RARE_PLAIN if f"{branch} " not in report]


def test_no_life_of_the_whole_stack_does_and_everything_befalls_its_bytes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    report = lives(capsys, "http", STACK_LIVES)
    assert not [branch for branch in RARE_STACK if f"{branch} " not in report]


def test_no_life_breaks_a_promise_where_amounts_are_looked_up(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lives(capsys, "looks", LIVES_WITH_LOOKS)


@pytest.mark.parametrize("stack", ["plain", "looks", "http"])
def test_the_same_seed_is_the_same_life_to_the_last_byte(stack: str) -> None:
    assert run_seed(7, stack).digest == run_seed(7, stack).digest
    assert run_seed(7, stack).digest != run_seed(8, stack).digest


def test_a_life_does_not_depend_on_the_process_it_is_lived_in() -> None:
    """Neither on what hashes are salted with, nor on what ran before."""
    here = [f"{stack} seed 3 {run_seed(3, stack).digest}" for stack in ("plain", "looks", "http")]
    assert digests_of("3", hash_seed="0") == digests_of("3", hash_seed="1") == here


def digests_of(seed: str, hash_seed: str) -> list[str]:
    said = subprocess.run(
        [sys.executable, "-m", "tests.simulate", "--first", seed, "--seeds", "1", "--digests"],
        cwd=Path(__file__).parents[1],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    lines = [line.replace(" digest", "") for line in said.splitlines() if " digest " in line]
    return sorted(lines, reverse=True)
