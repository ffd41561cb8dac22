"""Names, accounts and keys: what is refused at the start, what stops later, what is only said."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import anyio
import orjson
import pytest

from scheduler import (
    Account,
    AccountStopped,
    Alarm,
    ConfigurationError,
    Entry,
    Scheduler,
    State,
    binance,
)
from scheduler.journal.memory import MemoryJournal
from scheduler.simulator import SimulatedAccount, Simulator
from scheduler.startup import AT_ONCE_MAX, FIRST_LOOK_S, RETRY_S, misfits
from scheduler.wire import HttpReply, HttpRequest

pytestmark = pytest.mark.anyio

QUESTIONS = (binance.ACCOUNT.path, binance.RESTRICTIONS.path)
NOT_FOUND = HttpReply(status=404, body=b"<html>no such page</html>")


@dataclass(slots=True)
class Wire:
    """The way to a simulated exchange, which answers some questions about keys otherwise."""

    sim: Simulator
    uids: dict[str, int] = field(default_factory=dict)
    """By API key, where it is not the truth."""
    permissions: dict[str, bool] = field(default_factory=dict)
    fails_with: HttpReply | None = None
    hangs: bool = False
    sent: list[str] = field(default_factory=list)
    """The paths of everything, in order."""
    under_way: int = 0
    under_way_max: int = 0

    async def send(self, request: HttpRequest) -> HttpReply:
        self.sent.append(f"{request.method} {request.path}")
        if request.path not in QUESTIONS:
            return await self.sim.transport.send(request)
        self.under_way += 1
        self.under_way_max = max(self.under_way, self.under_way_max)
        try:
            if self.hangs:
                await asyncio.Event().wait()
            reply = await self.sim.transport.send(request)
        finally:
            self.under_way -= 1
        if self.fails_with is not None:
            return self.fails_with
        answer = orjson.loads(reply.body)
        key = request.headers["X-MBX-APIKEY"]
        if request.path == binance.ACCOUNT.path:
            answer["uid"] = self.uids.get(key, answer["uid"])
        else:
            answer.update(self.permissions)
        return HttpReply(status=reply.status, headers=reply.headers, body=orjson.dumps(answer))

    async def aclose(self) -> None:
        """The simulator outlives it."""

    @property
    def loans(self) -> int:
        return self.sent.count(f"POST {binance.BORROW_REPAY.path}")

    @property
    def questions(self) -> int:
        return sum(each.endswith(QUESTIONS) for each in self.sent)


def scheduler_on(
    wire: Wire, *accounts: SimulatedAccount | Account, journal: MemoryJournal | None = None
) -> Scheduler:
    return Scheduler(accounts, journal=journal or MemoryJournal(), transport=wire)


def unsaid(account: SimulatedAccount, *, uid: int | None = None) -> Account:
    """As a configuration has it that does not say which account it is, or says a wrong one."""
    return Account(account.name, api_key=account.api_key, secret=account.secret, uid=uid)


class Lasting(MemoryJournal):
    """Outlives the scheduler that closes it."""

    async def aclose(self) -> None:
        """It stays as it is."""


def stop_alarms(scheduler: Scheduler, seen: list[Alarm]) -> Callable[[], None]:
    class Listener:
        def changed(self, before: State | None, entry: Entry) -> None: ...
        def alarmed(self, alarm: Alarm) -> None:
            seen.append(alarm)

        def committed(self, seconds: float) -> None: ...
        def record_shown(self, account: str, delay_ms: int) -> None: ...

    return scheduler.observe(Listener())


# The rule


@pytest.mark.parametrize(
    ("declared", "kept", "found", "wrong"),
    [
        ({"a": None}, {}, {}, {}),
        ({"a": 1}, {}, {}, {}),
        ({"a": None, "b": None}, {}, {"a": 1, "b": 2}, {}),
        ({"a": 1}, {"a": 1}, {"a": 1}, {}),
        ({"a": None}, {"a": 1}, {}, {}),
        ({"a": None, "b": None}, {}, {"a": 1, "b": 1}, {"a": "one account", "b": "one account"}),
        ({"a": 1}, {}, {"a": 2}, {"a": "accounts.a.uid: is 1, and its key belongs to uid 2"}),
        ({"a": None}, {"a": 1}, {"a": 2}, {"a": "the journal knows this name as uid 1"}),
        ({"a": 2}, {"a": 1}, {}, {"a": "the journal knows this name as uid 1"}),
        ({"a": 1}, {"a": 1}, {"a": 2}, {"a": "and now it is uid 2"}),
        ({"a": None, "b": None}, {"a": 1}, {"a": 2, "b": 3}, {"a": "another account needs"}),
    ],
)
def test_which_names_and_accounts_do_not_belong_together(
    declared: Mapping[str, int | None],
    kept: Mapping[str, int],
    found: Mapping[str, int],
    wrong: Mapping[str, str],
) -> None:
    said = misfits(declared, kept=kept, found=found)
    assert said.keys() == wrong.keys()
    for name, part in wrong.items():
        assert part in said[name]


# At the start


async def test_a_key_that_belongs_to_its_name_starts_and_works() -> None:
    async with Simulator(port=None) as sim:
        wire = Wire(sim)
        async with scheduler_on(wire, sim.account("main")) as scheduler:
            entry = await scheduler.borrow("main", "USDT", "1")
            assert entry.state is State.CONFIRMED
            assert wire.questions == 2
            assert not (await scheduler.status("main")).alarms


async def test_two_names_for_one_account_are_refused() -> None:
    async with Simulator(port=None) as sim:
        main, hedge = unsaid(sim.account("main")), unsaid(sim.account("hedge"))
        wire = Wire(sim, uids={main.api_key: 7, hedge.api_key: 7})
        with pytest.raises(ConfigurationError, match=r"main and hedge are one account .* uid 7"):
            await scheduler_on(wire, main, hedge).start()
        assert wire.loans == 0


async def test_two_names_with_one_configured_uid_are_refused_without_asking_anybody() -> None:
    async with Simulator(port=None) as sim:
        main, hedge = sim.account("main"), sim.account("hedge")
        with pytest.raises(ConfigurationError, match="main and hedge have the same uid"):
            scheduler_on(Wire(sim), unsaid(main, uid=7), unsaid(hedge, uid=7))


async def test_a_key_of_another_account_than_is_configured_is_refused() -> None:
    async with Simulator(port=None) as sim:
        account = sim.account("main")
        with pytest.raises(ConfigurationError) as caught:
            await scheduler_on(Wire(sim), unsaid(account, uid=1)).start()
        assert str(caught.value) == (
            f"accounts.main.uid: is 1, and its key belongs to uid {account.uid}"
        )


async def test_a_name_stays_with_the_account_that_the_journal_knows_it_as() -> None:
    async with Simulator(port=None) as sim:
        account, journal = unsaid(sim.account("main")), Lasting()
        async with scheduler_on(Wire(sim), account, journal=journal) as scheduler:
            await scheduler.borrow("main", "USDT", "1")
        async with scheduler_on(Wire(sim), account, journal=journal):
            pass
        wire = Wire(sim, uids={account.api_key: 7})
        with pytest.raises(ConfigurationError, match="another account needs another name"):
            await scheduler_on(wire, account, journal=journal).start()
        async with scheduler_on(Wire(sim), account, journal=journal):
            pass  # the journal is none the worse for it


async def test_a_uid_that_two_names_share_is_kept_for_neither() -> None:
    async with Simulator(port=None) as sim:
        main, hedge, journal = unsaid(sim.account("main")), unsaid(sim.account("hedge")), Lasting()
        wire = Wire(sim, uids={main.api_key: sim.account("hedge").uid})
        with pytest.raises(ConfigurationError):
            await scheduler_on(wire, main, hedge, journal=journal).start()
        async with scheduler_on(Wire(sim), main, hedge, journal=journal) as scheduler:
            assert (await scheduler.borrow("main", "USDT", "1")).tran_id


@pytest.mark.parametrize(
    "reply",
    [
        NOT_FOUND,
        HttpReply(status=400, body=b'{"code":-2015,"msg":"Invalid API-key"}'),
        HttpReply(status=200, body=b"{}"),
        HttpReply(status=200, body=b'{"uid":"7","enableMargin":1}'),
        HttpReply(status=500, body=b"oops"),
    ],
    ids=["no such call", "refused", "no uid", "of another form", "an error"],
)
async def test_what_the_exchange_does_not_say_stops_nobody_and_is_asked_again(
    reply: HttpReply,
) -> None:
    async with Simulator(port=None) as sim:
        wire = Wire(sim, fails_with=reply)
        async with scheduler_on(wire, sim.account("main")) as scheduler:
            assert (await scheduler.borrow("main", "USDT", "1")).tran_id
            assert wire.questions == 2
            await anyio.sleep(RETRY_S + 1)
            assert wire.questions == 4
            wire.fails_with = None
            await anyio.sleep(3 * RETRY_S)
            assert wire.questions == 6
            await anyio.sleep(3600)
            assert wire.questions == 6
            assert not (await scheduler.status("main")).alarms


async def test_a_question_without_an_answer_does_not_hold_up_the_start() -> None:
    async with Simulator(port=None) as sim:
        began_s = anyio.current_time()
        async with scheduler_on(Wire(sim, hangs=True), sim.account("main")) as scheduler:
            assert anyio.current_time() - began_s < FIRST_LOOK_S + 0.1
            assert (await scheduler.borrow("main", "USDT", "1")).tran_id


async def test_many_accounts_are_asked_about_side_by_side_within_the_addresss_weight() -> None:
    async with Simulator(port=None) as sim:
        wire, names = Wire(sim), [f"a{n}" for n in range(300)]
        async with scheduler_on(wire, *(sim.account(name) for name in names)) as scheduler:
            assert wire.under_way_max == AT_ONCE_MAX
            assert (await scheduler.borrow("a299", "USDT", "1")).tran_id
            await anyio.sleep(180)
            assert wire.questions == 600
            assert {arrival.status for arrival in sim.ledger.arrivals} == {200}


# Later


async def test_without_the_exchange_it_starts_takes_submissions_and_asks_before_it_sends() -> None:
    async with Simulator(port=None) as sim:
        sim.set_down(True)
        wire = Wire(sim)
        async with scheduler_on(wire, sim.account("main")) as scheduler:
            await scheduler.submit("main", "BORROW", "USDT", "1", key="early")
            assert wire.questions == 0
            sim.set_down(False)
            assert (await scheduler.wait("early")).state is State.CONFIRMED
            calls = [each.split()[1] for each in wire.sent]
            loan = calls.index(binance.BORROW_REPAY.path)
            assert all(question in calls[:loan] for question in QUESTIONS)
            assert wire.questions == 2


async def test_an_account_found_wrong_later_stops_with_an_alarm_and_sends_nothing() -> None:
    async with Simulator(port=None) as sim:
        main, other = unsaid(sim.account("main"), uid=1), sim.account("other")
        sim.set_down(True)
        wire, alarms = Wire(sim), list[Alarm]()
        scheduler = scheduler_on(wire, main, other)
        stop_alarms(scheduler, alarms)
        async with scheduler:
            await scheduler.submit("main", "BORROW", "USDT", "1", key="early")
            await scheduler.submit("other", "BORROW", "USDT", "1", key="fine")
            sim.set_down(False)
            assert (await scheduler.wait("fine")).state is State.CONFIRMED
            await anyio.sleep(60)
            assert (await scheduler.get("early")).state is State.QUEUED
            assert wire.loans == 1
            stopped = [alarm for alarm in alarms if alarm.cause == "account_stopped"]
            assert [alarm.account for alarm in stopped] == ["main"]
            assert "its key belongs to uid" in stopped[0].message
            with pytest.raises(AccountStopped, match=r"accounts\.main\.uid"):
                await scheduler.submit("main", "BORROW", "USDT", "1")


async def test_an_account_found_wrong_by_a_repeated_question_stops_then() -> None:
    async with Simulator(port=None) as sim:
        wire = Wire(sim, fails_with=NOT_FOUND)
        async with scheduler_on(wire, unsaid(sim.account("main"), uid=1)) as scheduler:
            await scheduler.borrow("main", "USDT", "1")
            wire.fails_with = None
            await anyio.sleep(RETRY_S + 1)
            assert (await scheduler.status("main")).stopped is not None


async def test_an_exchange_that_comes_and_says_nothing_of_keys_holds_nobody_up_for_long() -> None:
    async with Simulator(port=None) as sim:
        sim.set_down(True)
        wire = Wire(sim, hangs=True)
        async with scheduler_on(wire, sim.account("main")) as scheduler:
            await scheduler.submit("main", "BORROW", "USDT", "1", key="early")
            sim.set_down(False)
            entry = await scheduler.wait("early", timeout=FIRST_LOOK_S + 2)
            assert entry.state is State.CONFIRMED


# What the key may do


async def test_a_key_without_margin_raises_an_alarm_and_is_left_to_the_exchange() -> None:
    async with Simulator(port=None) as sim:
        wire, alarms = Wire(sim, permissions={"enableMargin": False}), list[Alarm]()
        scheduler = scheduler_on(wire, sim.account("main"))
        stop_alarms(scheduler, alarms)
        async with scheduler:
            assert [(alarm.account, alarm.cause) for alarm in alarms] == [
                ("main", "key_permissions")
            ]
            assert (await scheduler.borrow("main", "USDT", "1")).tran_id


async def test_a_key_that_may_withdraw_is_warned_about(caplog: pytest.LogCaptureFixture) -> None:
    async with Simulator(port=None) as sim:
        wire = Wire(sim, permissions={"enableWithdrawals": True})
        with caplog.at_level(logging.WARNING, "margin_scheduler"):
            async with scheduler_on(wire, sim.account("main")) as scheduler:
                assert not (await scheduler.status("main")).alarms
        assert "account main: its key may withdraw" in caplog.text
