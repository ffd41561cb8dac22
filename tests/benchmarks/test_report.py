"""What the benchmarks' report says of the figures."""

import argparse
from dataclasses import asdict
from typing import Any

import pytest

from benchmarks.arguments import sizes
from benchmarks.cost.cpu import FEW, Measure, planned, summed_up
from benchmarks.cost.profile import module_of, summed
from benchmarks.goals import Goal, goals
from benchmarks.report import text
from benchmarks.results import merged
from benchmarks.side_by_side.judge import Score


def played(client: str, **changed: Any) -> dict[str, Any]:
    usual = Score(
        client=client,
        work="burst",
        asked=100,
        confirmed=100,
        refused={},
        unknown=0,
        took_s=10.4,
        ideal_s=10.0,
        of_ideal=1.04,
        attempts=100,
        exchange_refusals={},
        weight_each=1500.0,
        limited=0,
        banned=0,
        not_known=0,
        doubled=0,
        wrong=0,
        cpu_ms_each=1.0,
    )
    return {**asdict(usual), **changed}


def work(*scores: dict[str, Any], name: str = "burst", says: str = "100 borrows") -> dict[str, Any]:
    return {"name": name, "says": says, "scores": list(scores)}


RESULTS = {
    "seed": 5,
    "machine": {
        "cores": 2,
        "processor": "x",
        "system": "Linux",
        "python": "3",
        "packages": {"aiohttp": "3.1"},
    },
    "taken": {
        "imports": {
            "measured": "2026-01-01",
            "commit": "abc+",
            "load": 0.2,
            "took_s": 3,
            "command": "python -m benchmarks.cost.imports --json",
        }
    },
    "imports": {"ratio": 1.4, "medians": 1.6},
    "side_by_side": [work(played("embedded"), played("ccxt", of_ideal=9.9))],
}


@pytest.mark.parametrize(
    ("figures", "at_least", "is_met"),
    [
        ({"a": 1.0, "b": 0.5}, False, True),
        ({"a": 1.0, "b": 1.01}, False, False),
        ({"a": None}, False, False),
        ({"a": 1.0, "b": 2.0}, True, True),
        ({"a": 0.99, "b": 2.0}, True, False),
    ],
)
def test_a_goal_is_met_by_every_figure_or_not_at_all(
    figures: dict[str, float | None], at_least: bool, is_met: bool
) -> None:
    assert Goal("it", 1.0, figures, at_least=at_least).is_met is is_met


def test_peers_are_held_to_no_goal_of_ours() -> None:
    (burst,) = (goal for goal in goals(RESULTS) if goal.limit == 1.05)
    assert burst.figures == {"embedded": 1.04}


def test_a_missed_goal_is_said_in_the_report() -> None:
    said = text(RESULTS, [])
    assert "| burst of 100, time of the ideal | at most 1.05 | embedded: 1.04 | yes |" in said
    assert "| at most 1.5 | least: 1.4, median: 1.6 | **no** |" in said


def test_the_report_names_versions_seed_commit_and_command() -> None:
    said = text(RESULTS, [])
    for wanted in ("aiohttp 3.1", "Seed 5", "abc+", "`python -m benchmarks.cost.imports --json`"):
        assert wanted in said


def test_pictures_stand_where_they_were_drawn() -> None:
    assert "](burst.png)" in text(RESULTS, ["burst"])
    assert ".png" not in text(RESULTS, [])


def test_what_is_measured_again_replaces_itself_alone() -> None:
    again = [work(played("embedded", of_ideal=1.01))]
    found = merged(RESULTS, "side_by_side", again)
    (burst,) = found["side_by_side"]
    ratios = {score["client"]: score["of_ideal"] for score in burst["scores"]}
    assert ratios == {"embedded": 1.01, "ccxt": 9.9}
    assert found["imports"] == RESULTS["imports"]


def test_scores_of_another_work_under_the_same_name_are_not_kept() -> None:
    again = [work(played("embedded"), says="20 borrows")]
    (burst,) = merged(RESULTS, "side_by_side", again)["side_by_side"]
    assert [score["client"] for score in burst["scores"]] == ["embedded"]


def test_least_and_median_of_a_measurements_rounds() -> None:
    def took(*values: float) -> list[dict[str, float]]:
        return [{"us": us, "collecting_us": 1.0} for us in values]

    queued = [{"us": 50.0, "collecting_us": 0, "submit_us": 20.0, "submit_collecting_us": 5.0}]
    found = summed_up(
        {
            Measure("bare_post"): took(100, 120, 110),
            Measure("over_http"): took(500),
            Measure("borrow", 100): took(66, 60),
            Measure("borrow", 1): took(50, 58, 54),
            Measure("queued", 10): queued,
            Measure("queued", 1_000): queued,
        }
    )
    assert found["of_a_bare_post"] == {"least": 0.5, "median": 0.491}
    assert [(r["size"], r["growth"]) for r in found["borrow"]] == [(1, 1.0), (100, 1.2)]
    assert [row["size"] for row in found["submit"]] == [1_000]


def test_a_queue_that_takes_long_to_fill_is_measured_in_fewer_rounds() -> None:
    class Options:
        requests, rounds, accounts, queued = 100, 3, [1], [10, FEW]

    rounds = [[m.size for m in each if m.name == "queued"] for each in planned(Options)]  # type: ignore[arg-type]
    assert rounds == [[10, FEW], [10], [10]]


@pytest.mark.parametrize("text", ["", "x", "1,", "0", "10,-1", "1.5"])
def test_what_is_no_size_is_named(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="whole numbers over 0"):
        sizes(text)
    assert sizes("10,1000") == [10, 1000]


@pytest.mark.parametrize(
    ("file", "module"),
    [
        ("/x/lib/python3/site-packages/aiohttp/client.py", "aiohttp"),
        ("~", "C: built in"),
        ("/somewhere/else.py", "else.py"),
    ],
)
def test_a_profile_names_the_module(file: str, module: str) -> None:
    assert module_of(file, "f") == module


def test_a_profile_leaves_waiting_out() -> None:
    waited = ("~", 0, "<method 'poll' of 'select.epoll' objects>")
    stats: dict[tuple[str, int, str], Any] = {
        waited: (1, 1, 9.0, 9.0, {}),
        ("/a.py", 1, "f"): (2, 2, 1.0, 1.0, {}),
    }
    assert summed(stats) == ({"a.py": 1.0}, {"a.py": 2})
