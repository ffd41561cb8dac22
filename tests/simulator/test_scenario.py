"""Scenario files: the shipped ones do what they say, and others are checked before they run."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from scheduler.simulator import Simulator, load_scenario, run_scenario, scenario_names
from scheduler.simulator.scenario import ScenarioInvalid, read_scenario

from .client import Client

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("name", scenario_names())
async def test_a_shipped_scenario_runs_to_its_end(name: str) -> None:
    scenario = load_scenario(name)
    assert scenario.description
    loop = asyncio.get_running_loop()
    async with Simulator(**{"port": None, **scenario.options}) as sim:
        sim.account("main")
        await run_scenario(scenario, sim)
        assert loop.time() == pytest.approx(scenario.length_s, abs=0.1)


def test_these_are_shipped() -> None:
    assert scenario_names() == [
        "ban",
        "lost_answers",
        "maintenance",
        "silent_auto_repay",
        "starved_asset",
    ]


async def test_a_starved_asset_is_lent_again_bit_by_bit(sim: Simulator, client: Client) -> None:
    playing = asyncio.create_task(run_scenario(load_scenario("starved_asset"), sim))
    seen = []
    for _ in range(11):
        await asyncio.sleep(10)
        seen.append((await client.borrow("BTC", "0.5")).status)
    await playing
    #               10   20   30 s: the first half coin, then the next three
    assert seen[:4] == [400, 200, 400, 200]
    assert seen[-1] == 200


async def test_lost_answers_spoil_about_a_fifth_and_then_nothing() -> None:
    async with Simulator(port=None, uid_weight_limit=10**9) as sim:
        client = Client(sim)
        playing = asyncio.create_task(run_scenario(load_scenario("lost_answers"), sim))
        sendings = []
        for _ in range(400):
            await asyncio.sleep(0.25)
            sendings.append(asyncio.create_task(client.borrow()))
        spoilt = sim.ledger.faults.total()
        assert 50 <= spoilt <= 110
        await asyncio.gather(playing, *sendings, return_exceptions=True)
        assert [(await client.borrow()).status for _ in range(50)] == [200] * 50
        assert sim.ledger.faults.total() == spoilt


async def test_silent_auto_repay_leaves_debt_that_looked_repaid(sim: Simulator) -> None:
    await run_scenario(load_scenario("silent_auto_repay"), sim)
    await asyncio.sleep(10)
    assert sim.ledger.debt("main", "USDT") == 800
    assert sim.ledger.silent_failures == 2


async def test_the_ban_scenario_starves_and_then_bans(sim: Simulator, client: Client) -> None:
    playing = asyncio.create_task(run_scenario(load_scenario("ban"), sim))
    await asyncio.sleep(11)
    assert (await client.borrow()).status == 429
    await asyncio.sleep(61)
    assert (await client.borrow()).status == 200
    await playing
    assert (await client.borrow()).status == 418


def test_a_scenario_can_be_a_file_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        """
        [options]
        record_lag_ms = [10, 20]
        [[events]]
        at_s = 5
        call = "drain"
        asset = "BTC"
        [[events]]
        at_s = 1
        call = "ban"
        """
    )
    scenario = load_scenario(str(file))
    assert scenario.name == "mine"
    assert [event.call for event in scenario.events] == ["ban", "drain"]
    assert Simulator(port=None, **scenario.options).options.record_lag_ms == (10, 20)


INVALID: list[tuple[dict[str, Any], str]] = [
    ({"title": "x"}, "unknown 'title'"),
    ({"options": {"speed": 3}}, "no option 'speed'"),
    ({"events": [{"call": "ban"}]}, "events\\[0\\]: at_s"),
    ({"events": [{"at_s": -1, "call": "ban"}]}, "events\\[0\\]: at_s"),
    ({"events": [{"at_s": 1, "call": "__init__"}]}, "no call '__init__'"),
]


@pytest.mark.parametrize(("table", "message"), INVALID)
def test_a_scenario_without_meaning_is_refused(table: dict[str, Any], message: str) -> None:
    with pytest.raises(ScenarioInvalid, match=message):
        read_scenario("mine", table)


def test_a_scenario_that_is_not_there_is_refused_naming_those_that_are() -> None:
    with pytest.raises(ScenarioInvalid, match="starved_asset"):
        load_scenario("nothing")


def test_a_file_that_is_no_toml_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "broken.toml"
    file.write_text("= 3")
    with pytest.raises(ScenarioInvalid, match=r"broken\.toml"):
        load_scenario(str(file))
