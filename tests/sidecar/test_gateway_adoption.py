"""What is left without an outcome, and who may take it over."""

import asyncio
from decimal import Decimal

import pytest

from scheduler.model import Kind
from scheduler.sidecar.gateway.adoption import Orphan, Orphanage, Wish

pytestmark = pytest.mark.anyio

ADOPT_S = 60.0


def wish(amount: str = "10", client: str = "bot-a") -> Wish:
    return Wish(
        client=client,
        account="main",
        kind=Kind.BORROW,
        asset="USDT",
        amount=Decimal(amount),
        symbol=None,
    )


def orphan(key: str, order: int = 0, *, of: Wish | None = None) -> Orphan:
    released = asyncio.create_task(_nothing())
    return Orphan(key=key, wish=of, order=order, releasing=released)


async def _nothing() -> None:
    pass


async def test_the_oldest_goes_first_however_late_it_was_left() -> None:
    left = Orphanage(ADOPT_S)
    for key, order in (("second", 2), ("third", 3), ("first", 1)):
        left.put(orphan(key, order, of=wish()))
    taken = [left.take(wish()) for _ in range(4)]
    assert [one and one.key for one in taken] == ["first", "second", "third", None]
    assert len(left) == 0


async def test_amounts_are_equal_as_numbers() -> None:
    left = Orphanage(ADOPT_S)
    left.put(orphan("one", of=wish("10")))
    assert left.take(wish("10.01")) is None
    assert left.take(wish("10", client="bot-b")) is None
    assert left.take(wish("10.00")) is not None


async def test_each_has_its_own_time() -> None:
    left = Orphanage(ADOPT_S)
    left.put(orphan("early", 1, of=wish()))
    await asyncio.sleep(30)
    left.put(orphan("late", 2, of=wish()))
    await asyncio.sleep(30)
    taken = left.take(wish())
    assert taken is not None
    assert taken.key == "late"
    left.put(taken)  # left again: its time begins again
    await asyncio.sleep(59)
    assert left.take(wish()) is taken
    left.put(taken)
    await asyncio.sleep(60)
    assert left.take(wish()) is None
    assert len(left) == 0


async def test_what_chose_its_key_is_found_by_that_alone() -> None:
    left = Orphanage(ADOPT_S)
    left.put(orphan("chosen"))
    assert left.take(wish()) is None
    assert left.take_key("another") is None
    taken = left.take_key("chosen")
    assert taken is not None
    assert left.get("chosen") is None
