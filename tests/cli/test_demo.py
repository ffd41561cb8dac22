"""`margin-scheduler demo` as a process: what it exits with, prints and leaves behind."""

import json
import signal
import sys
import time

import pytest

from .command import TIMEOUT_S, run, started


def test_its_numbers_add_up() -> None:
    ran = run("demo", "--accounts", "4", "--requests", "5", "--seed", "3", "--json")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.count("\n") == 1
    told = json.loads(ran.stdout)
    assert (told["ok"], told["seed"], told["accounts"], told["requests"]) == (True, 3, 4, 20)
    lost = told["lost_answers"]
    assert lost == {
        "account-1": "lost_after",
        "account-2": "1007_after",
        "account-3": "503_after",
    }

    scheduled = told["scheduled"]
    assert scheduled["confirmed"] == scheduled["booked"] == scheduled["sent"] == 20
    assert scheduled["refused"] == {}
    assert scheduled["weight"] == 20 * 1500
    assert scheduled["weight_each"] == 1500
    assert scheduled["problems"] == []
    for count in ("unanswered", "busy", "limited", "banned", "repeated", "unknown"):
        assert scheduled[count] == 0, count
    assert 0.95 * 0.5 < scheduled["ideal_s"] < 1.05 * 0.5
    assert scheduled["elapsed_s"] > scheduled["ideal_s"]

    naive = told["naive"]
    assert naive["confirmed"] + sum(naive["refused"].values()) + naive["unanswered"] == 20
    assert naive["refused"]["-3007"] == naive["busy"] > 10
    assert naive["refused"]["-1007"] == 1
    assert naive["repeated"] == 2, "it sends again after a cut connection and after a 503"
    assert naive["unknown"] == len(lost), "each answer that was lost is a loan it does not know of"
    assert naive["booked"] == naive["confirmed"] + naive["unknown"]
    assert naive["weight"] == naive["sent"] * 1500


def test_without_a_terminal_it_prints_plain_lines_and_both_outcomes() -> None:
    ran = run("demo", "--accounts", "1", "--requests", "3")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "\x1b" not in ran.stdout
    lines = [line.rstrip() for line in ran.stdout.splitlines()]
    assert any(line.startswith("naive client  0.") and "confirmed" in line for line in lines)
    assert any(line.startswith("scheduler  ") and line.endswith("3 confirmed") for line in lines)
    assert any(line.split() == ["naive", "client", "scheduler"] for line in lines)
    assert lines[-1] == "All as it should be: 3 requests, each exactly once."


@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGTERM to catch")
def test_it_stops_when_told_to() -> None:
    with started("demo", "--accounts", "1", "--requests", "100") as process:
        assert process.stdout is not None
        while not process.stdout.readline().startswith("scheduler"):
            pass
        began_s = time.monotonic()
        process.send_signal(signal.SIGTERM)
        # Also waits for the exchange's process, which has the same standard error.
        _, err = process.communicate(timeout=TIMEOUT_S)
    assert time.monotonic() - began_s < 5
    assert (process.returncode, err) == (143, "stopped\n")
