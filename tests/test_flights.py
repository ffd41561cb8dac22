"""Attempts in the air are the group's: they die with it, and it dies of them."""

import asyncio
from collections.abc import Coroutine

import anyio
import pytest

from scheduler.flights import Flights

pytestmark = pytest.mark.anyio


async def carry(*flights: Coroutine[None, None, None], is_cancelled: bool = True) -> None:
    """A group in which they fly; a second later it is cancelled, or waits for its end."""
    async with anyio.create_task_group() as group:
        ours = Flights(group)
        group.start_soon(_grounded, ours)
        for number, flight in enumerate(flights):
            ours.start(flight, f"flight {number}")
        await anyio.sleep(1)
        if is_cancelled:
            group.cancel_scope.cancel()


async def _grounded(flights: Flights) -> None:
    try:
        await anyio.sleep_forever()
    finally:
        await flights.end()


async def test_a_flight_that_dies_takes_the_group_with_it() -> None:
    others: list[str] = []

    async def other() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            others.append("ended")

    async def broken() -> None:
        raise RuntimeError("a defect")

    with pytest.raises(ExceptionGroup) as caught:
        await carry(other(), broken(), is_cancelled=False)
    assert caught.group_contains(RuntimeError, match="a defect")
    assert others == ["ended"]


async def test_a_cancelled_group_waits_until_nothing_is_in_the_air() -> None:
    said: list[str] = []

    async def reluctant() -> None:
        for times in range(3):
            try:
                await anyio.sleep_forever()
            except asyncio.CancelledError:
                said.append(f"no {times}")
        said.append("landed")

    await carry(reluctant())
    assert said == ["no 0", "no 1", "no 2", "landed"]


async def test_what_a_flight_dies_of_while_the_group_ends_is_told() -> None:
    async def broken() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            raise RuntimeError("a defect")

    with pytest.raises(ExceptionGroup) as caught:
        await carry(broken())
    assert caught.group_contains(RuntimeError, match="a defect")


async def test_a_flight_that_lands_is_over_without_a_word() -> None:
    landed: list[int] = []

    async def short(number: int) -> None:
        landed.append(number)

    await carry(*(short(number) for number in range(3)))
    assert landed == [0, 1, 2]
