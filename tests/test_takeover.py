"""Real processes that die and freeze, and a real server that dies: a few cycles of each."""

import asyncio

from . import server_kill, takeover
from .exchange_process import exchange_process
from .postgres import own


def test_hosts_that_die_and_freeze_neither_lose_nor_repeat_anything() -> None:
    tally = takeover.run(cycles=1, seed=3, freeze_max_s=5, show=False)
    assert tally.violations == []
    assert tally.killed == tally.frozen == 1
    assert tally.booked > 0


def test_a_server_that_dies_and_connections_that_break_lose_and_repeat_nothing() -> None:
    with own() as server, exchange_process(*takeover.EXCHANGE, accounts=takeover.ACCOUNTS) as e:
        tally = asyncio.run(server_kill.run(server, e, cycles=2, seed=0))
    assert tally.violations == []
    assert tally.killed == 1
    assert tally.booked > 0
