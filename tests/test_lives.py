"""Lives of the scheduler, as far as every change can afford them."""

import cProfile
import os
import pstats
import subprocess
import sys
from pathlib import Path

import pytest

from .pipes import Kind, Place
from .simulate.__main__ import STACKS, main, run_seed
from .simulate.profile import OWNERS, shares

PLAIN_LIVES = 600
"""More by `python -m tests.simulate --seeds N`."""
LIVES_WITH_LOOKS = 300
STACK_LIVES = 150
SIDECAR_LIVES = 80

RARE = {
    "SENT to UNKNOWN",
    "UNKNOWN to QUEUED",
    "UNKNOWN to NOT_EXECUTED",
    "UNKNOWN to UNRESOLVED",
    "UNRESOLVED to CONFIRMED",
    "ACCEPTED to REJECTED",
    "alarm shared_account",
}
RARE_PLAIN = {*RARE, "UNRESOLVED to NOT_EXECUTED", "alarm failed_record"}
RARE_STACK = {
    *RARE,
    "crash",
    "SENT when the process died",
    "written and not heard of",
    "bytes that came after the close",
    "writes that shared a commit",
    *(f"{kind} at {place}" for kind in Kind for place in Place),
}
RARE_SIDECAR = {
    "crash",
    "SENT when the process died",
    "stopped and started again",
    "loan: left",
    "loan: no answer",
    "loan: 200 replayed",
    "loan: 400",
    "loan: 408",
    "loan: 429",
    "loan: 503",
    "loan: 504",
    "loan: 504 replayed",
    "submit: left",
    "submit: 202",
    "cancel: 200",
    "cancel: 409",
    "another: 409",
    "show: 200",
    "resolve: 200",
    *(f"{kind} at" for kind in Kind),
    *(f"at {place}, of a caller" for place in Place),
}
"""What comes of requests, and of the life of the process that answers them."""


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


def test_no_caller_of_a_sidecar_is_told_what_is_not_true(
    capsys: pytest.CaptureFixture[str],
) -> None:
    report = lives(capsys, "sidecar", SIDECAR_LIVES)
    assert not [branch for branch in RARE_SIDECAR if f"{branch} " not in report]


def test_no_life_breaks_a_promise_where_amounts_are_looked_up(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lives(capsys, "looks", LIVES_WITH_LOOKS)


@pytest.mark.parametrize("stack", STACKS)
def test_the_same_seed_is_the_same_life_to_the_last_byte(stack: str) -> None:
    assert run_seed(7, stack).digest == run_seed(7, stack).digest
    assert run_seed(7, stack).digest != run_seed(8, stack).digest


def test_a_life_does_not_depend_on_the_process_it_is_lived_in() -> None:
    """Neither on what hashes are salted with, nor on what ran before."""
    here = sorted(f"{stack} seed 3 {run_seed(3, stack).digest}" for stack in STACKS)
    assert digests_of("3", hash_seed="0") == digests_of("3", hash_seed="1") == here


def test_a_profile_gives_all_of_the_time_to_those_whose_it_is() -> None:
    profiler = cProfile.Profile()
    profiler.runcall(run_seed, 3, "http")
    found = shares(pstats.Stats(profiler))
    assert sum(found.values()) == pytest.approx(1)
    named = {owner for owner, _ in OWNERS} - {"sidecar"}
    assert named | {"SQLite"} <= {owner for owner, share in found.items() if share > 0}


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
    return sorted(lines)
