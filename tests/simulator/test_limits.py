"""Budgets a minute, what the headers say of them, and what becomes of whoever ignores a 429."""

import asyncio
from typing import Any

import pytest

from scheduler.simulator import Simulator
from scheduler.simulator.limits import FixedWindow, RollingWindow

from .client import LOANS, Client

pytestmark = pytest.mark.anyio

USED_UID = "x-sapi-used-uid-weight-1m"


async def fill(client: Client, count: int) -> None:
    """Sends this many borrows, each after the answer of the one before."""
    for _ in range(count):
        assert (await client.borrow("USDT", "1")).status == 200


async def test_120_borrows_fit_into_a_minute_and_the_next_one_gets_429(
    sim: Simulator, client: Client
) -> None:
    await fill(client, 120)
    said = await client.borrow()
    assert (said.status, said.code) == (429, -1003)
    assert "180000 request weight per 1 MINUTE" in said.json["msg"]
    assert len(sim.ledger.booked()) == 120


@pytest.mark.parametrize("window", ["rolling", "fixed"])
@pytest.mark.parametrize("charge_refusals", [True, False], ids=["charged", "free"])
async def test_who_waits_for_as_long_as_retry_after_says_has_room_again(
    window: Any, charge_refusals: bool
) -> None:
    async with Simulator(
        port=None, window=window, charge_refusals=charge_refusals, uid_weight_limit=7_500
    ) as sim:
        client = Client(sim)
        for _ in range(5):
            assert (await client.borrow()).status == 200
            await asyncio.sleep(3)
        said = await client.borrow()
        assert said.status == 429
        await asyncio.sleep(int(said.headers["retry-after"]))
        assert (await client.borrow()).status == 200


async def test_retry_after_says_no_more_than_it_has_to() -> None:
    async with Simulator(port=None, charge_refusals=False, uid_weight_limit=7_500) as sim:
        client = Client(sim)
        for _ in range(5):
            await client.borrow()
            await asyncio.sleep(3)
        said = await client.borrow()
        await asyncio.sleep(int(said.headers["retry-after"]) - 1.5)
        assert (await client.borrow()).status == 429


async def test_a_refusal_that_fills_the_budget_by_itself_says_a_minute() -> None:
    async with Simulator(port=None, uid_weight_limit=1_500) as sim:
        client = Client(sim)
        await fill(client, 1)
        await asyncio.sleep(30)
        assert (await client.borrow()).headers["retry-after"] == "60"


async def test_retry_after_can_be_missing() -> None:
    async with Simulator(port=None, uid_weight_limit=0, retry_after=False) as sim:
        said = await Client(sim).borrow()
        assert said.status == 429
        assert "retry-after" not in said.headers


async def test_refusals_weigh_unless_told_otherwise(sim: Simulator, client: Client) -> None:
    await client.borrow("NOPE")
    assert (await client.borrow()).headers[USED_UID] == "3000"
    async with Simulator(port=None, charge_refusals=False) as kind:
        lucky = Client(kind)
        await lucky.borrow("NOPE")
        assert (await lucky.borrow()).headers[USED_UID] == "1500"


async def test_refusals_carry_the_headers_unless_told_otherwise(client: Client) -> None:
    assert (await client.borrow("NOPE")).headers[USED_UID] == "1500"
    async with Simulator(port=None, headers_on_refusals=False) as sim:
        assert USED_UID not in (await Client(sim).borrow("NOPE")).headers


async def test_429s_keep_a_rolling_budget_full(sim: Simulator, client: Client) -> None:
    await fill(client, 120)
    for _ in range(5):
        await asyncio.sleep(5)
        await client.borrow()
    used = int((await client.borrow()).headers[USED_UID])
    assert used > 5 * 1_500
    assert sim.ledger.most_weight_in_a_minute("main") == 180_000 + 5 * 1_500 + 1_500


async def test_a_fixed_window_empties_at_the_clock_minute() -> None:
    async with Simulator(port=None, window="fixed") as sim:
        client = Client(sim)
        left_s = 60 - sim.now_ms() / 1_000 % 60
        await asyncio.sleep(left_s - 13)
        await fill(client, 110)
        await asyncio.sleep(3)
        await fill(client, 110)
        assert sim.ledger.refusals() == {}
        assert sim.ledger.most_weight_in_a_minute("main") == 220 * 1_500


async def test_each_account_has_its_own_uid_budget(sim: Simulator, client: Client) -> None:
    sim.spend_weight("main", 180_000)
    assert (await client.borrow()).status == 429
    assert (await Client(sim, "other").borrow()).status == 200


async def test_what_others_spend_shows_in_the_header_and_not_in_our_own_sum(
    sim: Simulator, client: Client
) -> None:
    sim.spend_weight("main", 20_000)
    assert (await client.borrow()).headers[USED_UID] == "21500"
    assert sim.ledger.most_weight_in_a_minute("main") == 1_500
    assert sim.ledger.most_weight_in_a_minute("main", foreign=True) == 21_500


async def test_each_endpoint_has_its_own_budget(sim: Simulator, client: Client) -> None:
    sim.spend_weight("main", 180_000)
    path = "/sapi/v1/margin/maxBorrowable"
    assert (await client.get(path, asset="BTC")).headers[USED_UID] == "750"
    looked = await client.get(LOANS, type="BORROW", startTime=0)
    assert looked.headers["x-sapi-used-ip-weight-1m"] == "10"
    assert sim.ledger.most_weight_in_a_minute("main") == 0


async def test_an_address_shares_its_ip_budget_among_accounts(sim: Simulator) -> None:
    here, there = Client(sim, "one"), Client(sim, "two", address="10.0.0.2")
    await here.get("/sapi/v1/margin/account")
    neighbour = Client(sim, "two")
    header = "x-sapi-used-ip-weight-1m"
    assert (await neighbour.get("/sapi/v1/margin/account")).headers[header] == "20"
    assert (await there.get("/sapi/v1/margin/account")).headers[header] == "10"


async def test_all_of_api_shares_one_budget(client: Client) -> None:
    await client.get("/api/v3/ping")
    said = await client.get("/api/v3/account")
    assert said.headers["x-mbx-used-weight-1m"] == "21"


async def test_weights_are_data() -> None:
    async with Simulator(port=None, weights={f"POST {LOANS}": 3_000}) as sim:
        assert (await Client(sim).borrow()).headers[USED_UID] == "3000"


async def test_going_on_after_429s_earns_a_ban_and_the_next_one_is_longer() -> None:
    async with Simulator(port=None, uid_weight_limit=0, refusals_before_ban=3) as sim:
        client = Client(sim)
        statuses = [(await client.borrow()).status for _ in range(5)]
        assert statuses == [429, 429, 429, 418, 418]
        banned = await client.get("/api/v3/time")
        assert (banned.status, banned.code) == (418, -1003)
        assert "IP banned until" in banned.json["msg"]
        assert int(banned.headers["retry-after"]) == 120
        await asyncio.sleep(120)
        assert (await client.get("/api/v3/time")).status == 200
        statuses = [(await client.borrow()).status for _ in range(4)]
        assert statuses == [429, 429, 429, 418]
        assert int((await client.borrow()).headers["retry-after"]) == 240


async def test_a_ban_stops_every_account_of_the_address_and_no_other_address(
    sim: Simulator,
) -> None:
    sim.ban()
    assert (await Client(sim, "one").borrow()).status == 418
    assert (await Client(sim, "two").borrow()).status == 418
    assert (await Client(sim, "two", address="10.0.0.2").borrow()).status == 200


async def test_now_and_then_a_429_does_not_add_up_to_a_ban() -> None:
    async with Simulator(port=None, uid_weight_limit=0, refusals_before_ban=3) as sim:
        client = Client(sim)
        for _ in range(10):
            assert (await client.borrow()).status == 429
            await asyncio.sleep(21)


def test_a_rolling_window_forgets_after_exactly_60_s() -> None:
    window = RollingWindow()
    window.add(0, 5)
    window.add(10_000, 7)
    assert window.used(59_999) == 12
    assert window.used(60_000) == 7
    assert window.wait_ms(60_000, room=7) == 0
    assert window.wait_ms(60_000, room=6) == 10_000
    assert window.used(70_000) == 0


def test_a_fixed_window_forgets_at_the_minute() -> None:
    window = FixedWindow()
    window.add(59_999, 5)
    assert window.wait_ms(59_999, room=4) == 1
    assert window.used(60_000) == 0
