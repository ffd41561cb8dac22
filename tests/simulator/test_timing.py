"""When a signed request is still acted upon: recvWindow is a fence."""

import asyncio

import pytest

from scheduler.simulator import Simulator

from .client import Client

pytestmark = pytest.mark.anyio


@pytest.fixture
def client() -> Client:
    # Nothing takes any time on the way, so that a test can hit a boundary.
    return Client(Simulator(port=None, round_trip_ms=(0, 0)))


@pytest.mark.parametrize(
    ("age_ms", "recv_window", "is_accepted"),
    [
        (0, None, True),
        (5_000, None, True),
        (5_001, None, False),
        (60_000, "60000", True),
        (60_001, "60000", False),
        (10, "10", True),
        (11, "10", False),
        (-999, None, True),
        (-1_000, None, False),
    ],
)
async def test_a_request_is_accepted_within_its_window(
    client: Client, age_ms: int, recv_window: str | None, is_accepted: bool
) -> None:
    async with client.sim as sim:
        said = await client.borrow(timestamp=sim.now_ms() - age_ms, recvWindow=recv_window)
        assert said.status == (200 if is_accepted else 400), said.json
        assert is_accepted or said.code == -1021
        assert len(sim.ledger.transactions) == is_accepted


async def test_the_two_ways_to_be_out_of_time_read_differently(client: Client) -> None:
    async with client.sim as sim:
        early = await client.borrow(timestamp=sim.now_ms() + 2_000)
        late = await client.borrow(timestamp=sim.now_ms() - 6_000)
        assert "ahead of the server's time" in early.json["msg"]
        assert "outside of the recvWindow" in late.json["msg"]


async def test_the_clock_runs_on_the_loops_time_and_can_jump(client: Client) -> None:
    async with client.sim as sim:
        start_ms = sim.now_ms()
        await asyncio.sleep(2)
        assert sim.now_ms() - start_ms == 2_000
        sim.jump_clock(-500)
        assert sim.now_ms() - start_ms == 1_500
        said = await client.get("/api/v3/time")
        assert said.json == {"serverTime": start_ms + 1_500}


async def test_after_a_jump_old_timestamps_are_refused(client: Client) -> None:
    async with client.sim as sim:
        signed = client.loan("BORROW", "USDT", "1")
        sim.jump_clock(6_000)
        assert (await client.send(signed)).code == -1021
