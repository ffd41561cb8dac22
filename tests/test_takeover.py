"""Hosts and servers that die and freeze: a few in virtual time, a few for real."""

import asyncio

import pytest

from . import server_kill, takeover
from .exchange_process import exchange_process
from .postgres import own
from .simulate import takeovers


@pytest.mark.parametrize("seed", range(8))
def test_no_takeover_loses_or_repeats_anything(seed: int) -> None:
    told = takeovers.live(seed)
    assert told.violations == []
    assert told.takeovers > 10


def test_the_same_seed_lives_the_same_life() -> None:
    assert takeovers.live(0) == takeovers.live(0)


@pytest.mark.parametrize(("defect", "seed"), takeovers.DEFECTS.items())
def test_what_would_make_a_takeover_unsafe_is_found(defect: str, seed: int) -> None:
    assert takeovers.live(seed).violations == []
    assert takeovers.live(seed, defect).violations != []


def test_hosts_that_die_and_freeze_neither_lose_nor_repeat_anything() -> None:
    tally = takeover.run(cycles=1, seed=3, freeze_max_s=5, show=False)
    assert tally.violations == []
    assert tally.killed == tally.frozen == 1
    assert tally.booked > 0
    assert tally.takeovers_s


def test_a_server_that_dies_and_connections_that_break_lose_and_repeat_nothing() -> None:
    with own() as server, exchange_process(*takeover.EXCHANGE, accounts=takeover.ACCOUNTS) as e:
        tally = asyncio.run(server_kill.run(server, e, cycles=2, seed=0))
    assert tally.violations == []
    assert tally.killed == 1
    assert tally.booked > 0
