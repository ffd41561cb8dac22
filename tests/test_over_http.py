"""The scheduler and the exchange in two processes, with real HTTP between them."""

import asyncio
from collections import Counter

import pytest

from scheduler import Limits, Scheduler, State

from .exchange_process import ExchangeProcess, exchange_process

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]

FAST = Limits(min_gap_ms=5)
"""For an exchange that takes 5 ms over what the real one takes 100 ms over."""


async def burst(exchange: ExchangeProcess, count: int, limits: Limits = FAST) -> Counter[State]:
    async with Scheduler(
        exchange.accounts.values(), base_url=exchange.base_url, journal="memory:", limits=limits
    ) as scheduler:
        entries = await asyncio.gather(
            *(scheduler.borrow("main", "USDT", "10") for _ in range(count))
        )
    return Counter(entry.state for entry in entries)


async def test_a_burst_is_confirmed_without_one_refusal() -> None:
    with exchange_process("--processing-ms", "5") as exchange:
        assert await burst(exchange, 100) == {State.CONFIRMED: 100}
        statistics = exchange.statistics()
    assert statistics["booked"] == 100
    assert statistics["refusals"] == {}


async def test_answers_that_come_at_once_cost_at_most_three_refusals() -> None:
    with exchange_process("--answers", "at_once") as exchange:
        assert await burst(exchange, 20, Limits()) == {State.CONFIRMED: 20}
        refusals = exchange.statistics()["refusals"]
    assert refusals.get("-3007", 0) <= 3
    assert set(refusals) <= {"-3007"}


@pytest.mark.parametrize("fault", ["lost_after", "truncated", "html_200", "503_after"])
async def test_a_loan_whose_answer_is_spoilt_on_the_wire_is_found_again(fault: str) -> None:
    with exchange_process("--processing-ms", "5") as exchange:
        exchange.control("fail_next", fault=fault)
        assert await burst(exchange, 3) == {State.CONFIRMED: 3}
        assert exchange.statistics()["booked"] == 3


@pytest.mark.parametrize("key_type", ["rsa", "ed25519"])
async def test_each_kind_of_key_signs_what_the_exchange_takes(key_type: str) -> None:
    with exchange_process("--processing-ms", "5", "--key-type", key_type) as exchange:
        assert await burst(exchange, 2) == {State.CONFIRMED: 2}
