"""Every test here is a coroutine in virtual time, unless it says otherwise."""

from collections.abc import AsyncIterator

import pytest

from scheduler.simulator import Simulator

from .client import Client


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator(port=None) as simulator:
        yield simulator


@pytest.fixture
def client(sim: Simulator) -> Client:
    return Client(sim)
