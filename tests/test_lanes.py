"""Several schedulers on one journal: who runs what, and what the others can do about it."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import anyio
import pytest

from scheduler import (
    Account,
    ConfigurationError,
    KeyReused,
    LaneOptions,
    NotCancellable,
    Rejected,
    Scheduler,
    SettlementOutcome,
    State,
)
from scheduler.events import Accepted
from scheduler.journal.lanes import Board, LaneRow, Peer, SharedJournal
from scheduler.journal.postgres import PostgresJournal
from scheduler.lanes import FREE_TICKS_MAX, TICK_S, Moves, decide
from scheduler.model import revised
from scheduler.simulator import Simulator
from scheduler.transport import Transport
from scheduler.wire import HttpReply, HttpRequest

from .journal.shared_memory import Database, HostJournal
from .postgres import PostgresServer

pytestmark = pytest.mark.anyio

ACCOUNTS = tuple(f"a{n}" for n in range(6))


# Deciding


def board(
    owners: dict[str, tuple[int | None, int]],
    *peers: int,
    accounts: str = "abcd",
    pinned: dict[int, str] | None = None,
) -> Board:
    """Lanes as (owner, epoch), and the schedulers that live."""
    rows = {
        account: LaneRow(account, epoch, owner, str(owner), owner in peers)
        for account, (owner, epoch) in owners.items()
    }
    pins = pinned or {}
    live = tuple(Peer(i, str(i), frozenset(accounts), frozenset(pins.get(i, ""))) for i in peers)
    return Board(rows, live)


def moves(lost: str = "", take: str = "", give_up: str = "") -> Moves:
    return Moves(tuple(lost), tuple(take), tuple(give_up))


@pytest.mark.parametrize(
    ("seen", "running", "expected"),
    [
        pytest.param(board({}, 1), {}, moves(take="abcd"), id="alone, it takes everything"),
        pytest.param(board({}, 1, 2), {}, moves(take="ab"), id="of two, each takes half"),
        pytest.param(
            board({"a": (9, 4), "b": (None, 2)}, 1, accounts="ab"),
            {},
            moves(take="ab"),
            id="what a dead one had, and what was given up, is free",
        ),
        pytest.param(
            board({"a": (2, 1), "b": (2, 1)}, 1, 2, accounts="ab"),
            {},
            moves(),
            id="what a live one has is not",
        ),
        pytest.param(
            board({"a": (2, 2), "b": (1, 1)}, 1, 2, accounts="ab"),
            {"a": 1, "b": 1},
            moves(lost="a"),
            id="a lane at another epoch is lost",
        ),
        pytest.param(
            board({"a": (1, 1)}, 1, 2, accounts="ab"),
            {"a": 3},
            moves(),
            id="one that was taken since the board was read is not",
        ),
        pytest.param(
            board({"a": (1, 3)}, 1, 2, accounts="a"),
            {},
            moves(take="a"),
            id="one's own lane that nobody runs is taken anew",
        ),
        pytest.param(
            board(dict.fromkeys("abcd", (1, 1)), 1, 2),
            dict.fromkeys("abcd", 1),
            moves(give_up="ab"),
            id="the surplus is given up",
        ),
        pytest.param(
            board(dict.fromkeys("abc", (1, 1)), 1, 2, accounts="abc"),
            dict.fromkeys("abc", 1),
            moves(give_up="a"),
            id="the share is rounded up",
        ),
        pytest.param(
            board({"a": (1, 1), "b": (2, 1)}, 1, 2, accounts="ab", pinned={2: "a"}),
            {"a": 1},
            moves(give_up="a"),
            id="what another has pinned is given up",
        ),
        pytest.param(
            board({}, 1, 2, accounts="ab", pinned={1: "ab"}),
            {},
            moves(take="ab"),
            id="what is pinned here is taken beyond the share",
        ),
        pytest.param(
            board({}, 1, 2, accounts="ab", pinned={2: "ab"}),
            {},
            moves(),
            id="what is pinned elsewhere is left",
        ),
        pytest.param(board({}, 2), {}, moves(), id="one whose lease is over does nothing"),
    ],
)
def test_a_share_is_kept(seen: Board, running: dict[str, int], expected: Moves) -> None:
    assert decide(seen, 1, running, frozenset(), {}) == expected


def test_what_is_busy_is_given_up_last() -> None:
    seen = board(dict.fromkeys("abcd", (1, 1)), 1, 2)
    given = decide(seen, 1, dict.fromkeys("abcd", 1), frozenset("ab"), {}).give_up
    assert given == ("c", "d")


def test_a_lane_that_nobody_takes_is_taken_beyond_the_share() -> None:
    seen = board({"a": (1, 1)}, 1, 2, accounts="ab")
    assert decide(seen, 1, {"a": 1}, frozenset(), {"b": FREE_TICKS_MAX - 1}).take == ()
    assert decide(seen, 1, {"a": 1}, frozenset(), {"b": FREE_TICKS_MAX}).take == ("b",)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 7])
def test_whoever_comes_and_goes_the_lanes_come_to_rest_in_equal_shares(count: int) -> None:
    accounts = [f"a{n}" for n in range(30)]
    owners: dict[str, tuple[int | None, int]] = {}
    for live in ([1], list(range(1, count + 1)), list(range(2, count + 1)) or [1]):
        for _ in range(3):
            for me in live:
                peers = tuple(Peer(i, str(i), frozenset(accounts), frozenset()) for i in live)
                rows = {a: LaneRow(a, e, o, "", o in live) for a, (o, e) in owners.items()}
                running = {a: e for a, (o, e) in owners.items() if o == me}
                decided = decide(Board(rows, peers), me, running, frozenset(), {})
                for account in decided.take:
                    owners[account] = (me, owners.get(account, (None, 0))[1] + 1)
                for account in decided.give_up:
                    owners[account] = (None, owners[account][1] + 1)
        counts = Counter(owner for owner, _ in owners.values())
        assert set(counts) == set(live)
        assert max(counts.values()) - min(counts.values()) <= len(live)
        assert max(counts.values()) == -(-30 // len(live))


def test_an_unknown_pin_and_a_useless_lease_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"lanes.lease_s: must be 3 to 600, not 1"):
        LaneOptions(lease_s=1)
    with pytest.raises(ConfigurationError, match=r"lanes.name"):
        LaneOptions(name="")


# Running


class Hosts:
    """Schedulers on one database, in front of one exchange."""

    def __init__(self, simulator: Simulator, database: Database | str) -> None:
        self.simulator = simulator
        self.accounts = [simulator.account(name) for name in ACCOUNTS]
        self._database = database
        self.transport: Transport = simulator.transport
        self.is_exclusive = True

    def make(self, name: str, **options: object) -> Scheduler:
        journal: SharedJournal
        if isinstance(self._database, str):
            journal = PostgresJournal(self._database)
        else:
            journal = HostJournal(self._database)
        return Scheduler(
            [
                Account(a.name, api_key=a.api_key, secret=a.secret, exclusive=self.is_exclusive)
                for a in self.accounts
            ],
            journal=journal,
            transport=self.transport,
            lanes=LaneOptions(name=name, **options),  # type: ignore[arg-type]
        )

    @asynccontextmanager
    async def running(self, *names: str) -> AsyncIterator[list[Scheduler]]:
        """So many hosts, once each has its share."""
        async with AsyncExitStack() as stack:
            hosts = [await stack.enter_async_context(self.make(name)) for name in names]
            share = len(ACCOUNTS) // len(names)
            while any(len(owned(host)) != share for host in hosts):  # noqa: ASYNC110  from afar
                await anyio.sleep(0.05)
            yield hosts

    def booked(self) -> int:
        return len(self.simulator.ledger.booked())


def owned(host: Scheduler) -> list[str]:
    keeper = host._engine.keeper
    assert keeper is not None
    return sorted(keeper.lanes.epochs)


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.real_time)])
def database(request: pytest.FixtureRequest) -> Database | str:
    if request.param == "memory":
        return Database()
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.url()


@pytest.fixture
async def hosts(database: Database | str) -> AsyncIterator[Hosts]:
    async with Simulator(port=None, processing_ms=20) as simulator:
        yield Hosts(simulator, database)


@pytest.fixture
async def in_memory() -> AsyncIterator[Hosts]:
    """For what takes long."""
    async with Simulator(port=None, processing_ms=20) as simulator:
        yield Hosts(simulator, Database())


async def test_any_host_takes_a_submission_and_hears_of_its_end(hosts: Hosts) -> None:
    async with hosts.running("one", "two") as (one, two):
        async with asyncio.timeout(60):
            borrows = [h.borrow(a, "USDT", "1") for h in (one, two) for a in ACCOUNTS]
            entries = await asyncio.gather(*borrows)
        assert {entry.state for entry in entries} == {State.CONFIRMED}
        assert len({entry.tran_id for entry in entries}) == 12
        assert hosts.booked() == 12


async def test_a_key_is_one_submission_on_all_hosts(hosts: Hosts) -> None:
    async with hosts.running("one", "two") as (one, two):
        submits = [h.submit("a0", "BORROW", "USDT", "1", key="k") for h in (one, two) * 5]
        entries = await asyncio.gather(*submits)
        assert len({entry.seq for entry in entries}) == 1
        assert (await one.wait("k")).tran_id == (await two.wait("k")).tran_id
        with pytest.raises(KeyReused):
            await two.submit("a0", "BORROW", "USDT", "2", key="k")
        assert hosts.booked() == 1


async def test_pause_cancel_and_resume_reach_the_owner(hosts: Hosts) -> None:
    async with hosts.running("one", "two") as (one, two):
        for host in (one, two):
            for account in ACCOUNTS:
                await host.pause(account)
                for key in (f"{account}-stays", f"{account}-goes"):
                    await host.submit(account, "BORROW", "USDT", "1", key=key)
                assert (await host.cancel(f"{account}-stays")).state is State.CANCELLED
                await host.resume(account)
                assert (await host.wait(f"{account}-goes")).state is State.CONFIRMED
                with pytest.raises(NotCancellable):
                    await host.cancel(f"{account}-goes")
            break
        assert hosts.booked() == len(ACCOUNTS)


def elsewhere(host: Scheduler) -> str:
    """An account that another host runs."""
    return next(account for account in ACCOUNTS if account not in owned(host))


async def test_what_stands_still_can_be_resolved_on_any_host_and_its_owner_goes_on(
    in_memory: Hosts,
) -> None:
    hosts = in_memory
    hosts.is_exclusive = False
    async with hosts.running("one", "two") as (one, two):
        account = elsewhere(one)
        hosts.simulator.fail_next("lost_after")
        await one.submit(account, "BORROW", "USDT", "1", key="lost")
        async with asyncio.timeout(120):
            lost = await one.wait("lost")
        assert lost.state is State.UNRESOLVED
        await one.submit(account, "BORROW", "USDT", "2", key="behind")
        (booked,) = hosts.simulator.ledger.booked()
        await anyio.sleep(40)  # until the request cannot be executed any more
        await one.resolve("lost", "CONFIRMED", tran_id=booked.tran_id, because="seen")
        async with asyncio.timeout(60):
            assert (await two.wait("behind")).state is State.CONFIRMED
        assert (await two.get("lost")).tran_id == booked.tran_id
        assert hosts.booked() == 2


async def test_what_moves_while_it_is_taken_back_elsewhere_is_looked_at_again(
    in_memory: Hosts,
) -> None:
    async with in_memory.running("one", "two") as (one, _):
        account = elsewhere(one)
        await one.pause(account)
        entry = await one.submit(account, "BORROW", "USDT", "1", key="k")
        assert one._remote is not None
        cancelled = await one._remote.cancel(revised(entry, version=entry.version - 1))
        assert cancelled is not None
        assert (await one.get("k")).state is State.CANCELLED


async def test_any_host_settles_a_debt(hosts: Hosts) -> None:
    async with hosts.running("one", "two") as (one, two):
        for number, account in enumerate((owned(two)[0], owned(one)[0])):
            hosts.simulator.set_debt(account, "USDT", "100")
            async with asyncio.timeout(60):
                settled = await one.settle_debt(account, "USDT")
            assert settled.outcome is SettlementOutcome.REPAID
            assert not settled.debt.total
            assert hosts.booked() == number + 1


async def test_a_repayment_that_another_host_has_queued_is_waited_for(in_memory: Hosts) -> None:
    hosts = in_memory
    async with hosts.running("one", "two") as (one, two):
        account = elsewhere(one)
        hosts.simulator.set_debt(account, "USDT", "100")
        await two.pause(account)
        await two.submit(account, "REPAY", "USDT", "100", key="queued")
        settling = asyncio.ensure_future(one.settle_debt(account, "USDT"))
        await anyio.sleep(5)
        await two.resume(account)
        async with asyncio.timeout(60):
            settled = await settling
        assert (settled.outcome, settled.keys) == (SettlementOutcome.CLEAR, ())
        assert hosts.booked() == 1


async def test_two_hosts_that_settle_one_debt_repay_it_once(hosts: Hosts) -> None:
    async with hosts.running("one", "two") as (one, two):
        hosts.simulator.set_debt("a0", "USDT", "100")
        async with asyncio.timeout(60):
            both = await asyncio.gather(*(host.settle_debt("a0", "USDT") for host in (one, two)))
        assert [settled.debt.total for settled in both] == [0, 0]
        assert hosts.booked() == 1


class Adding:
    """A way to the exchange on which interest is added right after the first repayment of an
    account, and on which looks take so long that what they lead to is not there at once."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self.account: str | None = None

    async def send(self, request: HttpRequest) -> HttpReply:
        if request.method == "GET":
            await anyio.sleep(0.3)
        reply = await self._simulator.transport.send(request)
        if self.account is not None and b"type=REPAY" in request.body:
            self._simulator.set_debt(self.account, "USDT", "0.001")
            self.account = None
        return reply

    async def aclose(self) -> None:
        """It is the simulator's."""


async def test_advice_reaches_whoever_waits_on_another_host(in_memory: Hosts) -> None:
    hosts = in_memory
    hosts.transport = Adding(hosts.simulator)
    async with hosts.running("one", "two") as (one, _):
        account = elsewhere(one)
        hosts.simulator.set_max_borrowable(account, "USDT", "7")
        with pytest.raises(Rejected) as refused:
            await one.borrow(account, "USDT", "8")
        assert "at most 7 USDT can be borrowed now" in (refused.value.advice or "")


async def test_a_repayment_of_everything_is_seen_to_its_end_from_any_host(in_memory: Hosts) -> None:
    hosts = in_memory
    hosts.transport = adding = Adding(hosts.simulator)
    async with hosts.running("one", "two") as (one, two):
        for account in (elsewhere(one), elsewhere(two)):
            hosts.simulator.set_debt(account, "USDT", "100")
            adding.account = account
            entry = await one.repay(account, "USDT", "all")
            assert entry.amount == 100
            assert hosts.simulator.ledger.debt(account, "USDT") == 0
            assert any("rest1:" in evidence.detail for evidence in entry.evidence)
        assert hosts.booked() == 4


async def test_a_repayment_that_left_nothing_is_not_waited_for_elsewhere(in_memory: Hosts) -> None:
    async with in_memory.running("one", "two") as (one, _):
        account = elsewhere(one)
        in_memory.simulator.set_debt(account, "USDT", "100")
        await one.submit(account, "REPAY", "USDT", "all", key="k")
        await one.wait("k")
        began_s = anyio.current_time()
        assert (await one.repay(account, "USDT", "all", key="k")).amount == 100
        assert anyio.current_time() - began_s < 2  # virtual time


async def test_a_pause_asked_while_nobody_runs_the_account_binds_who_takes_it(
    hosts: Hosts,
) -> None:
    journal = hosts.make("nobody")._journal
    assert isinstance(journal, SharedJournal)
    await journal.open()
    await journal.lanes.tell("a0", "pause")
    await journal.aclose()
    async with hosts.running("one") as (one,):
        await one.submit("a0", "BORROW", "USDT", "1", key="k")
        assert (await one.wait("k", timeout=0.5)).state is State.QUEUED
        await one.resume("a0")
        assert (await one.wait("k")).state is State.CONFIRMED


async def test_status_names_the_owner_and_the_epoch_on_every_host(hosts: Hosts) -> None:
    async with hosts.running("one", "two") as (one, two):
        for account in ACCOUNTS:
            seen = [await host.status(account) for host in (one, two)]
            owner = "one" if account in owned(one) else "two"
            assert [status.owner for status in seen] == [owner, owner]
            assert seen[0].epoch == seen[1].epoch
            assert seen[0].weight_limit == seen[1].weight_limit


async def test_status_tells_of_a_pause_on_every_host(hosts: Hosts) -> None:
    async with hosts.running("one", "two") as (one, two):
        for account in ACCOUNTS:
            await one.pause(account)
            seen = [await host.status(account) for host in (one, two)]
            assert [[hold.cause for hold in status.holds] for status in seen] == [["paused"]] * 2


async def test_the_overview_tells_who_runs_every_account(hosts: Hosts) -> None:
    async with hosts.running("one", "two") as (one, two):
        await anyio.sleep(2 * TICK_S)  # until each has looked at the board once more
        for host, name, other in ((one, "one", "two"), (two, "two", "one")):
            overview = host.overview()
            assert overview.schedulers == 2
            assert [lane.account for lane in overview.lanes] == sorted(ACCOUNTS)
            for lane in overview.lanes:
                assert lane.is_here is (lane.account in owned(host))
                assert lane.owner == (name if lane.is_here else other)
                assert lane.epoch == (await host.status(lane.account)).epoch
                assert lane.taken_free >= lane.is_here
                assert lane.taken_lost == 0


async def test_what_one_host_was_refused_for_want_of_inventory_the_others_do_not_try(
    hosts: Hosts,
) -> None:
    async with hosts.running("one", "two") as (one, two):
        hosts.simulator.set_inventory("BTC", "0")
        first, second = owned(one)[0], owned(two)[0]
        await one.submit(first, "BORROW", "BTC", "1", key="first")
        async with asyncio.timeout(30):
            while not any(a.code == -3045 for a in hosts.simulator.ledger.arrivals):  # noqa: ASYNC110
                await anyio.sleep(0.01)
            while ("BTC", False) not in two._engine._gate.shortages():  # noqa: ASYNC110  from afar
                await anyio.sleep(0.01)
        await two.submit(second, "BORROW", "BTC", "1", key="second")
        assert (await two.borrow(second, "USDT", "1")).state is State.CONFIRMED  # is not starved
        assert (await two.wait("second", timeout=5)).attempts == 0
        assert [h.asset for h in (await two.status(second)).holds] == ["BTC"]
        hosts.simulator.set_inventory("BTC", "2")
        async with asyncio.timeout(60):
            ended = [await one.wait("first"), await two.wait("second")]
        assert [entry.state for entry in ended] == [State.CONFIRMED] * 2
        assert ended[1].attempts == 1


async def test_a_host_that_starts_knows_what_others_were_just_refused(hosts: Hosts) -> None:
    hosts.simulator.set_inventory("BTC", "0")
    async with hosts.running("one") as (one,):
        await one.submit("a0", "BORROW", "BTC", "1", key="first", send_within=1)
        assert (await one.wait("first")).code == -3045
    spent = len(hosts.simulator.ledger.arrivals)
    async with hosts.running("two") as (two,):
        await two.submit("a1", "BORROW", "BTC", "1", key="second")
        assert (await two.wait("second", timeout=3)).attempts == 0
    borrows = [a for a in hosts.simulator.ledger.arrivals[spent:] if a.weight == 1_500]
    assert borrows == []


async def test_whoever_leaves_hands_its_lanes_over_at_once(hosts: Hosts) -> None:
    async with hosts.running("one", "two") as (one, two):
        waiting = asyncio.gather(*(one.borrow(account, "USDT", "1") for account in ACCOUNTS))
        await asyncio.sleep(0)
        await two.aclose()
        async with asyncio.timeout(60):
            assert {entry.state for entry in await waiting} == {State.CONFIRMED}
        while len(owned(one)) < len(ACCOUNTS):  # noqa: ASYNC110  read from afar
            await anyio.sleep(0.05)
        assert hosts.booked() == len(ACCOUNTS)


async def test_the_new_owner_counts_what_the_old_one_spent(hosts: Hosts) -> None:
    async with hosts.running("one") as (one,):
        for _ in range(3):
            await one.borrow("a0", "USDT", "1")
    async with hosts.running("two") as (two,):
        async with asyncio.timeout(10):
            while (await two.status("a0")).weight_used != 4_500:  # noqa: ASYNC110  read from afar
                await anyio.sleep(0.05)


async def test_an_answer_that_came_to_the_old_owner_reaches_the_new_one(hosts: Hosts) -> None:
    async with hosts.running("one") as (one,):
        hosts.simulator.fail_next("lost_before")  # the exchange never gets it
        entry = await one.submit("a0", "BORROW", "USDT", "1", key="k")
        async with asyncio.timeout(30):
            while (entry := await one.get("k")).state is not State.UNKNOWN:  # noqa: ASYNC110
                await anyio.sleep(0.01)
        keeper = one._engine.keeper
        assert keeper is not None
        await keeper.came_late(entry, Accepted(77), at_ms=entry.submitted_at_ms)
        async with asyncio.timeout(30):
            assert (await one.wait("k")).tran_id == 77
        assert (await one.get("k")).evidence[-1].source == "reply"
