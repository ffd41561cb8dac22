"""Looks at the exchange's records: a page is not the whole."""

import anyio
import pytest

from scheduler import Scheduler, State
from scheduler.simulator import Simulator

pytestmark = pytest.mark.anyio

OTHERS = 150
"""More than one page of 100 records; they come newest first."""


async def test_a_record_on_the_second_page_is_found() -> None:
    async with Simulator(port=None, processing_ms=1, record_lag_ms=(0, 0)) as sim:
        account = sim.account("main", exclusive=False)
        sim.fail_next("lost_after")
        async with Scheduler([account], journal="memory:", transport=sim.transport) as scheduler:
            entry = await scheduler.submit("main", "BORROW", "USDT", "1")
            await anyio.sleep(0.1)
            for _ in range(OTHERS):
                assert sim.foreign("main", "BORROW", "USDT", "2") is not None
                await anyio.sleep(0.002)
            entry = await scheduler.wait(entry.key)
        [ours] = [t for t in sim.ledger.booked() if t.origin == "request"]
        assert entry.state is State.UNRESOLVED
        assert f"record {ours.tran_id} fits" in entry.evidence[-1].detail
