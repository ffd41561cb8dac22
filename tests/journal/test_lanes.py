"""What the lanes of every shared journal do: the tests that define `scheduler.journal.lanes`."""

import asyncio
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from typing import TypeAlias

import pytest

from scheduler.errors import JournalUnavailable
from scheduler.inventory import Refusal
from scheduler.journal.lanes import Hint, SharedJournal
from scheduler.journal.postgres import PostgresJournal
from scheduler.journal.postgres_server import server as server_of
from scheduler.journal.protocol import LaneLost

from ..postgres import PostgresServer
from .entries import NOW_MS, confirmed, never_left, new, refused, sent, unknown
from .shared_memory import Database, HostJournal

pytestmark = pytest.mark.anyio

POSTGRES = pytest.param("postgres", marks=pytest.mark.real_time)
LONG_S = 600.0
OVER_S = -1.0
"""A lease that has run out when it begins."""

Hosts: TypeAlias = tuple[SharedJournal, SharedJournal]


@pytest.fixture(params=["memory", POSTGRES])
def make(request: pytest.FixtureRequest) -> Callable[[], SharedJournal]:
    """Makes hosts on one database."""
    if request.param == "memory":
        database = Database()
        return lambda: HostJournal(database)
    server: PostgresServer = request.getfixturevalue("postgres")
    url = server.url()
    return lambda: PostgresJournal(url)


@pytest.fixture
async def hosts(make: Callable[[], SharedJournal]) -> AsyncIterator[Hosts]:
    one, other = make(), make()
    for journal in (one, other):
        await journal.open()
    yield one, other
    for journal in (one, other):
        await journal.aclose()


async def join(journal: SharedJournal, name: str, lease_s: float = LONG_S) -> None:
    await journal.lanes.join(name, ["main", "other"], [], lease_s)


async def take(journal: SharedJournal, account: str = "main") -> int:
    epoch = await journal.lanes.take(account)
    assert epoch is not None
    journal.lanes.epochs[account] = epoch
    return epoch


async def test_it_is_a_shared_journal(hosts: Hosts) -> None:
    assert isinstance(hosts[0], SharedJournal)


# Leases


async def test_who_joins_is_live_until_its_lease_runs_out(hosts: Hosts) -> None:
    one, other = hosts
    await one.lanes.join("one", ["a", "b"], ["a"], LONG_S)
    await join(other, "gone", OVER_S)
    (peer,) = (await other.lanes.board()).peers
    assert (peer.id, peer.name) == (one.lanes.me, "one")
    assert (peer.accounts, peer.pinned) == (frozenset("ab"), frozenset("a"))
    assert await other.lanes.renew(LONG_S)
    assert [peer.name for peer in (await one.lanes.board()).peers] == ["one", "gone"]


async def test_who_has_left_has_to_join_again(hosts: Hosts) -> None:
    one, _ = hosts
    await join(one, "one")
    await one.lanes.leave()
    assert (await one.lanes.board()).peers == ()
    assert not await one.lanes.renew(LONG_S)


# Owners


async def test_a_free_lane_goes_to_whoever_takes_it_first(hosts: Hosts) -> None:
    one, other = hosts
    await join(one, "one")
    await join(other, "other")
    epochs = await asyncio.gather(one.lanes.take("main"), other.lanes.take("main"))
    assert sorted(epochs, key=str) == [1, None]


async def test_a_lane_is_its_owners_while_the_lease_runs(hosts: Hosts) -> None:
    one, other = hosts
    await join(one, "one")
    await join(other, "other")
    await take(one)
    assert await other.lanes.take("main") is None
    row = (await other.lanes.board()).lanes["main"]
    assert (row.owner, row.owner_name, row.epoch, row.is_live) == (one.lanes.me, "one", 1, True)


async def test_once_the_lease_is_over_another_may_take_the_lane(hosts: Hosts) -> None:
    one, other = hosts
    await join(one, "one", OVER_S)
    await join(other, "other")
    await take(one)
    assert not (await other.lanes.board()).lanes["main"].is_live
    assert await other.lanes.take("main") == 2


async def test_ones_own_lane_can_be_taken_anew_at_a_new_epoch(hosts: Hosts) -> None:
    one, _ = hosts
    await join(one, "one")
    assert [await take(one), await take(one)] == [1, 2]


async def test_a_lane_given_up_is_free_at_a_new_epoch(hosts: Hosts) -> None:
    one, other = hosts
    await join(one, "one")
    await join(other, "other")
    await one.lanes.give_up("main", await take(one))
    row = (await other.lanes.board()).lanes["main"]
    assert (row.owner, row.epoch, row.is_live) == (None, 2, False)
    assert await take(other) == 3


async def test_giving_up_what_has_another_owner_changes_nothing(hosts: Hosts) -> None:
    one, other = hosts
    await join(one, "one", OVER_S)
    await join(other, "other")
    epoch = await take(one)
    await take(other)
    await one.lanes.give_up("main", epoch)
    assert (await one.lanes.board()).lanes["main"].owner == other.lanes.me


async def test_who_leaves_gives_everything_up(hosts: Hosts) -> None:
    one, other = hosts
    await join(one, "one")
    await join(other, "other")
    await take(one, "main")
    await take(one, "other")
    await one.lanes.leave()
    lanes = (await other.lanes.board()).lanes.values()
    assert {(row.account, row.owner, row.epoch) for row in lanes} == {
        ("main", None, 2),
        ("other", None, 2),
    }


# What the epoch guards


async def test_an_attempt_is_put_into_the_air_by_the_owner_alone(hosts: Hosts) -> None:
    one, other = hosts
    await join(one, "one")
    await join(other, "other")
    kept = await one.add(new())
    await take(one)
    with pytest.raises(LaneLost):
        await other.update(sent(kept), at_ms=NOW_MS)
    assert await one.get("k") == kept
    await one.update(sent(kept), at_ms=NOW_MS)


async def test_after_a_takeover_the_old_owner_sends_nothing(hosts: Hosts) -> None:
    one, other = hosts
    await join(one, "one", OVER_S)
    await join(other, "other")
    kept = await one.add(new())
    await take(one)
    await take(other)
    assert await one.lanes.renew(LONG_S)  # its lease runs again, and that changes nothing
    with pytest.raises(LaneLost):
        await one.update(sent(kept), at_ms=NOW_MS)
    await other.update(sent(kept), at_ms=NOW_MS)


async def test_after_giving_up_nothing_is_sent(hosts: Hosts) -> None:
    one, _ = hosts
    await join(one, "one")
    kept = await one.add(new())
    await one.lanes.give_up("main", await take(one))
    with pytest.raises(LaneLost):
        await one.update(sent(kept), at_ms=NOW_MS)


async def test_before_anybody_owned_a_lane_anybody_may_write(hosts: Hosts) -> None:
    one, other = hosts
    kept = await one.add(new())
    await one.update(sent(kept), at_ms=NOW_MS)
    await join(other, "other")
    await take(other)
    again = await one.add(new("again"))
    with pytest.raises(LaneLost):
        await one.update(sent(again, exclusion="x"), at_ms=NOW_MS)


async def test_an_old_owners_answer_is_kept_as_long_as_nobody_moved_the_entry(
    hosts: Hosts,
) -> None:
    one, other = hosts
    await join(one, "one", OVER_S)
    await join(other, "other")
    await take(one)
    in_air = sent(await one.add(new()))
    await one.update(in_air, at_ms=NOW_MS)
    await take(other)
    await one.update(confirmed(in_air, 7), at_ms=NOW_MS)
    assert await other.get("k") == confirmed(in_air, 7)


async def test_only_the_owner_can_say_that_an_attempt_never_left(hosts: Hosts) -> None:
    """Two hosts can mint the same attempt in one millisecond, and one of them has sent it."""
    one, other = hosts
    await join(one, "one", OVER_S)
    await join(other, "other")
    kept = await one.add(new())
    await take(one)
    await take(other)
    in_air = sent(kept)
    await other.update(in_air, at_ms=NOW_MS)
    with pytest.raises(LaneLost):
        await one.update(never_left(in_air), at_ms=NOW_MS)
    assert await one.get("k") == in_air
    await other.update(never_left(in_air), at_ms=NOW_MS)
    assert await one.get("k") == never_left(in_air)


async def test_one_refused_for_its_lane_leaves_the_others_alone(hosts: Hosts) -> None:
    one, other = hosts
    await join(one, "one")
    await join(other, "other")
    entries = [await one.add(new(key, account=key)) for key in ("main", "other")]
    await take(one, "main")
    await take(other, "other")
    results = await asyncio.gather(
        *(one.update(sent(entry), at_ms=NOW_MS) for entry in entries), return_exceptions=True
    )
    assert [type(result) for result in results] == [type(None), LaneLost]


async def test_a_mark_of_the_account_is_the_owners(hosts: Hosts) -> None:
    one, other = hosts
    await join(one, "one", OVER_S)
    await join(other, "other")
    await take(one)
    await one.set_mark("account:main", "marks", "old")
    await take(other)
    await other.set_mark("account:main", "marks", "new")
    with pytest.raises(JournalUnavailable, match="another scheduler"):
        await one.set_mark("account:main", "marks", "old")
    assert await one.marks() == {("account:main", "marks"): "new"}


# Telling the owner


async def test_the_owner_of_an_account_is_told_of_what_others_add(hosts: Hosts) -> None:
    one, other = hosts
    await join(one, "one")
    await join(other, "other")
    await take(one)
    await one.add(new("own"))
    await other.add(new("k"))
    await other.add(new("k"))
    (request,) = await one.lanes.requests(["main"])
    assert (request.account, request.what, request.key) == ("main", "run", "k")
    await one.lanes.done([request.id])
    assert await one.lanes.requests(["main"]) == []


async def test_who_has_not_joined_yet_tells_the_owner_too(hosts: Hosts) -> None:
    one, other = hosts
    await join(one, "one")
    await take(one)
    await other.add(new())
    assert [request.key for request in await one.lanes.requests(["main"])] == ["k"]


async def test_what_an_old_owner_adds_is_told_to_the_new_one(hosts: Hosts) -> None:
    one, other = hosts
    await join(one, "one", OVER_S)
    await join(other, "other")
    await take(one)
    await take(other)
    await one.add(new())
    assert [request.key for request in await other.lanes.requests(["main"])] == ["k"]


async def test_requests_are_read_in_order_and_by_account(hosts: Hosts) -> None:
    one, other = hosts
    await join(one, "one")
    await take(one)
    told = [await other.lanes.tell("main", what) for what in ("pause", "resume", "pause")]
    await other.lanes.tell("other", "pause", key="k", detail="\0 \\")
    asked = await one.lanes.requests(["main"])
    assert [request.what for request in asked] == ["pause", "resume", "pause"]
    assert [request.id for request in asked] == told
    assert [r.detail for r in await one.lanes.requests(["other", "third"])] == ["\0 \\"]
    assert await one.lanes.is_open(told[0])
    await one.lanes.done(told[:1])
    assert not await other.lanes.is_open(told[0])


async def test_only_the_owner_can_say_that_a_request_is_done(hosts: Hosts) -> None:
    one, other = hosts
    await join(one, "one", OVER_S)
    await join(other, "other")
    await take(one)
    told = await other.lanes.tell("main", "pause")
    await take(other)
    await one.lanes.done([told])
    assert await other.lanes.is_open(told)
    await other.lanes.done([told])
    assert not await other.lanes.is_open(told)


async def test_a_late_answer_is_kept_and_told(hosts: Hosts) -> None:
    one, other = hosts
    in_air = sent(await one.add(new()))
    await one.update(in_air, at_ms=NOW_MS)
    await one.lanes.keep_late(in_air, at_ms=NOW_MS, tran_id=2**53 + 1, detail="200")
    request = (await other.lanes.requests(["main"]))[-1]
    assert (request.what, request.key) == ("late", "k")
    assert request.detail == '{"number": 1, "tran_id": 9007199254740993}'


async def test_hints_are_heard_by_all(hosts: Hosts) -> None:
    one, other = hosts
    heard: asyncio.Queue[Hint] = asyncio.Queue()
    listening = asyncio.ensure_future(other.lanes.listen(heard.put_nowait))
    await heard.get()  # once at the beginning: what came before may have been missed
    for hint in Hint:
        await one.lanes.notify(hint)
        assert await heard.get() is hint
    listening.cancel()
    await asyncio.wait([listening])


# Shortages


def refusal(
    asset: str = "BTC", *, amount: str = "1.50000000", doubted: str | None = None
) -> Refusal:
    return Refusal(
        pool=(asset, False),
        amount=Decimal(amount),
        wait_ms=1_000,
        doubted=None if doubted is None else Decimal(doubted),
    )


async def test_what_one_was_refused_the_others_can_read(hosts: Hosts) -> None:
    one, other = hosts
    await join(one, "one")
    assert await other.lanes.shortages() == []
    # Amounts as they are asked for, and none in the form of an exponent.
    tiny = refusal("ETH", amount="0.00000001", doubted="12")
    for told in (refusal(), tiny, refusal("X", amount="0")):
        await one.lanes.tell_refusal(told)
    found = {each.refusal.pool[0]: each for each in await other.lanes.shortages()}
    assert found.keys() == {"BTC", "ETH", "X"}
    assert found["ETH"].refusal == tiny
    assert {each.by for each in found.values()} == {one.lanes.me}
    assert all(0 <= each.age_ms < 60_000 for each in found.values())


async def test_what_is_told_anew_of_a_pool_replaces_what_was(hosts: Hosts) -> None:
    one, other = hosts
    await one.lanes.tell_refusal(refusal())
    (first,) = await other.lanes.shortages()
    assert (await other.lanes.shortages())[0].told == first.told
    await other.lanes.tell_refusal(refusal(amount="1"))
    (second,) = await one.lanes.shortages()
    assert second.refusal == refusal(amount="1")
    assert second.told != first.told


# Reading


async def test_unfinished_are_told_by_account_in_order(hosts: Hosts) -> None:
    one, _ = hosts
    entries = [await one.add(new(key, account=key[0])) for key in ("a1", "b1", "a2", "a3")]
    in_air = sent(entries[0])
    await one.update(in_air, at_ms=NOW_MS)
    await one.update(refused(in_air), at_ms=NOW_MS)
    done = sent(entries[2])
    await one.update(done, at_ms=NOW_MS)
    await one.update(confirmed(done, 7), at_ms=NOW_MS)
    assert [entry.key for entry in await one.lanes.unfinished_of("a")] == ["a1", "a3"]
    assert await one.lanes.backlog("a") == 2
    assert await one.lanes.backlog("c") == 0


async def test_what_is_settled_is_told_of_the_keys_asked(hosts: Hosts) -> None:
    one, other = hosts
    done, open_, lost = [
        sent(await one.add(new(key)), exclusion=key) for key in ("done", "open", "lost")
    ]
    await one.update(done, at_ms=NOW_MS)
    await one.update(confirmed(done, 7), at_ms=NOW_MS)
    await one.update(open_, at_ms=NOW_MS)
    await one.update(lost, at_ms=NOW_MS)
    await one.update(unknown(lost), at_ms=NOW_MS)
    keys = ["done", "open", "lost", "never"]
    assert await other.lanes.settled_among(keys) == [confirmed(done, 7)]


# The race that only a lock can decide


@pytest.mark.real_time
async def test_a_takeover_waits_for_the_attempt_that_is_being_written(
    postgres: PostgresServer,
) -> None:
    url = postgres.url()
    one, other = PostgresJournal(url), PostgresJournal(url)
    await one.open()
    await other.open()
    await join(one, "one", OVER_S)
    await join(other, "other")
    kept = await one.add(new())
    await take(one)
    blocker = await postgres.connect()
    await blocker.execute(f"SET search_path = {server_of(url).schema}")
    holding = blocker.transaction()
    await holding.start()
    await blocker.execute("SELECT FROM entries FOR UPDATE")
    # Its epoch is read and its row is not yet written.
    writing = asyncio.ensure_future(one.update(sent(kept), at_ms=NOW_MS))
    await _until_waiting(blocker, 1)
    taking = asyncio.ensure_future(take(other))
    await _until_waiting(blocker, 2)
    assert not taking.done()
    await holding.commit()
    await blocker.close()
    await writing
    assert await taking == 2
    assert await other.lanes.unfinished_of("main") == [sent(kept)]
    await one.aclose()
    await other.aclose()


async def _until_waiting(connection: object, count: int) -> None:
    sql = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    async with asyncio.timeout(10):
        while await connection.fetchval(sql) < count:  # type: ignore[attr-defined]  # noqa: ASYNC110
            await asyncio.sleep(0)
