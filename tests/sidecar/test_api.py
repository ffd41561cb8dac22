"""The native API as a program in any language sees it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from scheduler import Limits, State
from scheduler.journal.memory import MemoryJournal
from scheduler.model import Entry
from scheduler.sidecar import api

from .house import Asker, House, asking, borrow, house
from .pipe import Pipe

pytestmark = pytest.mark.anyio

PATH = "/v1/submissions"
FIELDS = {
    *("key", "account", "kind", "asset", "requested", "amount", "symbol", "priority", "state"),
    *("is_final", "tran_id", "tran_id_text", "code", "name", "message", "advice", "attempts"),
    *("submitted_at_ms", "sent_at_ms", "ended_at_ms", "finished_at_ms", "deadline_ms"),
    *("version", "evidence"),
}

QUICK_MINUTE = Limits(min_gap_ms=0, uid_weight_per_minute=1_500, urgent_reserve=0)
"""One request a minute."""

over_the_socket = pytest.mark.real_time


@pytest.fixture
async def at() -> AsyncIterator[House]:
    async with house("main", "hedge") as opened:
        yield opened


@pytest.fixture
async def asker(at: House) -> AsyncIterator[Asker]:
    async with asking(at.address) as made:
        yield made


# Submitting


@over_the_socket
async def test_a_submission_is_taken_when_it_is_durable(at: House, asker: Asker) -> None:
    await at.scheduler.pause("main")
    answer = await asker.ask("POST", PATH, borrow("order-17", priority="urgent"))
    assert answer.status == 202
    assert answer.headers["location"] == f"{PATH}/order-17"
    assert answer.headers["content-type"] == "application/json"
    assert set(answer.json) == FIELDS
    told = answer.json
    assert (told["state"], told["is_final"], told["tran_id"]) == ("QUEUED", False, None)
    assert (told["amount"], told["requested"], told["priority"]) == ("1", "1", "urgent")
    assert told["deadline_ms"] == told["submitted_at_ms"] + 300_000
    assert (await asker.ask("GET", answer.headers["location"])).json == told


@over_the_socket
async def test_waiting_for_the_outcome_gives_it(asker: Asker) -> None:
    answer = await asker.ask("POST", f"{PATH}?wait=10", borrow(amount="1.50", symbol="BTCUSDT"))
    assert answer.status == 200
    told = answer.json
    assert (told["state"], told["is_final"], told["amount"]) == ("CONFIRMED", True, "1.50")
    assert told["tran_id_text"] == str(told["tran_id"])
    assert [evidence["source"] for evidence in told["evidence"]] == ["reply"]
    assert told["symbol"] == "BTCUSDT"
    assert "replayed" not in told


@over_the_socket
async def test_a_refusal_of_the_exchange_is_told_word_for_word(at: House, asker: Asker) -> None:
    at.sim.fail_next(-3006)
    told = (await asker.ask("POST", f"{PATH}?wait=10", borrow())).json
    assert (told["state"], told["code"], told["name"]) == (
        "REJECTED",
        -3006,
        "EXCEED_MAX_BORROWABLE",
    )
    assert told["message"] == "Your borrow amount has exceed maximum borrow amount."
    assert told["advice"]


@over_the_socket
async def test_the_same_key_and_request_is_the_same_submission(at: House, asker: Asker) -> None:
    for wait, status, replayed in (("", 202, None), ("", 200, True), ("?wait=9", 200, True)):
        answer = await asker.ask("POST", PATH + wait, borrow("k1", amount="1.0"))
        assert (answer.status, answer.json.get("replayed")) == (status, replayed)
    again = await asker.ask("POST", PATH, borrow("k1", amount="1", send_within_ms=9_000))
    assert (again.status, again.json["requested"]) == (200, "1.0")
    assert len(at.sim.ledger.transactions) == 1


@over_the_socket
async def test_how_long_it_may_wait_to_be_sent_is_kept_to_the_millisecond(asker: Asker) -> None:
    for within_ms in (604_800_000 - 1, 604_800_000.0, 999_999):
        key = f"k{within_ms}"
        told = (await asker.ask("POST", PATH, borrow(key, send_within_ms=within_ms))).json
        assert told["deadline_ms"] - told["submitted_at_ms"] == within_ms


# Waiting, in virtual time


async def test_a_wait_ends_when_its_time_is_up_and_leaves_the_submission() -> None:
    async with house(listen=(), hosts=("localhost:80",)) as at:
        await at.scheduler.pause("main")
        await at.scheduler.submit("main", "BORROW", "USDT", "1", key="k1")
        for path, seconds in ((f"{PATH}/k1?wait=20", 20), (f"{PATH}/k1?wait=0.5", 0.5)):
            pipe = Pipe(at.sidecar)
            pipe.ask("GET", path)
            assert await pipe.answered() == pytest.approx(seconds, abs=0.1)
            assert b'"QUEUED"' in pipe.got


async def test_a_wait_ends_when_it_is_known_that_a_person_is_needed() -> None:
    async with house(listen=(), hosts=("localhost:80",)) as at:
        at.sim.fail_next("lost_after")
        await at.scheduler.submit("main", "BORROW", "USDT", "1", key="k1")
        pipe = Pipe(at.sidecar)
        pipe.ask("GET", f"{PATH}/k1?wait=60")
        await asyncio.sleep(0.2)
        at.sim.foreign("main", "BORROW", "USDT", "1")  # whose is it? two records fit
        assert 0.2 < await pipe.answered() < 59
        assert b'"UNRESOLVED"' in pipe.got
        assert b'"is_final":false' in pipe.got


async def test_a_client_that_leaves_changes_nothing() -> None:
    async with house(listen=(), hosts=("localhost:80",), sim={"processing_ms": 5_000}) as at:
        pipe = Pipe(at.sidecar)
        body = b'{"account":"main","kind":"BORROW","asset":"USDT","amount":"1","key":"k1"}'
        pipe.ask("POST", f"{PATH}?wait=60", body=body)
        await asyncio.sleep(1)
        pipe.leave()
        assert (await at.scheduler.wait("k1", timeout=30)).state is State.CONFIRMED
        assert len(at.sim.ledger.transactions) == 1


async def test_who_leaves_before_a_submission_is_durable_has_submitted_all_the_same() -> None:
    class Slow(MemoryJournal):
        async def add(self, entry: Entry, *, sent: Entry | None = None) -> Entry:
            await asyncio.sleep(3)
            return await super().add(entry, sent=sent)

    async with house(listen=(), hosts=("localhost:80",), journal=Slow()) as at:
        pipe = Pipe(at.sidecar)
        body = b'{"account":"main","kind":"BORROW","asset":"USDT","amount":"1","key":"k1"}'
        pipe.ask("POST", PATH, body=body)
        await asyncio.sleep(1)
        pipe.leave()
        await asyncio.sleep(5)
        assert (await at.scheduler.get("k1")).state is State.CONFIRMED


async def test_no_more_than_so_many_wait_and_the_others_are_answered_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(api, "WAITS_MAX", 3)
    async with house(listen=(), hosts=("localhost:80",)) as at:
        await at.scheduler.pause("main")
        await at.scheduler.submit("main", "BORROW", "USDT", "1", key="k1")
        pipes = [Pipe(at.sidecar) for _ in range(5)]
        for pipe in pipes:
            pipe.ask("GET", f"{PATH}/k1?wait=30")
        took = [round(await pipe.answered()) for pipe in reversed(pipes)]
        assert took == [0, 0, 30, 30, 30]
        assert [b"Retry-After: 1\r\n" in pipe.got for pipe in pipes] == [False] * 3 + [True] * 2


# Reading


@over_the_socket
async def test_the_list_goes_from_page_to_page_and_misses_nothing(at: House, asker: Asker) -> None:
    await at.scheduler.pause("main")
    keys = [f"k{number}" for number in range(7)]
    for key in keys:
        await at.scheduler.submit("main", "BORROW", "USDT", "1", key=key)
    pages: list[list[str]] = []
    after = ""
    while True:
        told = (await asker.ask("GET", f"{PATH}?limit=3{after}")).json
        pages.append([entry["key"] for entry in told["submissions"]])
        if told["next"] is None:
            break
        after = f"&after={told['next']}"
        # What comes meanwhile is newer, and shifts nothing.
        await at.scheduler.submit("main", "REPAY", "USDT", "1")
    assert pages == [["k6", "k5", "k4"], ["k3", "k2", "k1"], ["k0"]]


@over_the_socket
async def test_a_last_page_that_is_full_names_no_next(at: House, asker: Asker) -> None:
    for key in ("k1", "k2"):
        await at.scheduler.submit("main", "BORROW", "USDT", "1", key=key)
    assert (await asker.ask("GET", f"{PATH}?limit=2")).json["next"] is None


@over_the_socket
async def test_the_list_can_be_narrowed(at: House, asker: Asker) -> None:
    await at.scheduler.borrow("main", "USDT", "1", key="done")
    await at.scheduler.pause("main")
    await at.scheduler.submit("main", "BORROW", "BTC", "1", key="waits")
    await at.scheduler.borrow("hedge", "BTC", "1", key="other")
    for query, keys in (
        ("", ["other", "waits", "done"]),
        ("?account=main", ["waits", "done"]),
        ("?state=CONFIRMED", ["other", "done"]),
        ("?asset=BTC&account=main", ["waits"]),
        ("?account=hedge&state=QUEUED", []),
    ):
        told = (await asker.ask("GET", PATH + query)).json
        assert [entry["key"] for entry in told["submissions"]] == keys, query


@over_the_socket
async def test_the_history_tells_every_change(at: House, asker: Asker) -> None:
    at.sim.fail_next(-3007)
    await at.scheduler.borrow("main", "USDT", "1", key="k1")
    told = (await asker.ask("GET", f"{PATH}/k1/history")).json
    assert told["key"] == "k1"
    assert [change["state"] for change in told["changes"]] == [
        *("QUEUED", "SENT", "QUEUED", "SENT", "CONFIRMED")
    ]
    assert [change["version"] for change in told["changes"]] == [1, 2, 3, 4, 5]
    assert "-3007" in told["changes"][2]["detail"]


# Steering


@over_the_socket
async def test_what_has_not_been_sent_can_be_cancelled(at: House, asker: Asker) -> None:
    await at.scheduler.pause("main")
    await asker.ask("POST", PATH, borrow("k1"))
    for _ in range(2):
        answer = await asker.ask("DELETE", f"{PATH}/k1")
        assert (answer.status, answer.json["state"]) == (200, "CANCELLED")
    await at.scheduler.resume("main")
    await asker.ask("POST", f"{PATH}?wait=10", borrow("k2"))
    answer = await asker.ask("DELETE", f"{PATH}/k2")
    assert (answer.status, answer.code) == (409, "not_cancellable")


async def test_a_person_can_decide_once_nothing_else_will() -> None:
    async with house(listen=(), hosts=("localhost:80",)) as at:
        at.sim.fail_next("lost_after")
        await at.scheduler.submit("main", "BORROW", "USDT", "1", key="k1")
        await asyncio.sleep(0.2)
        other = at.sim.foreign("main", "BORROW", "USDT", "1")  # whose is it? two records fit
        assert other is not None

        async def resolve(body: bytes) -> Pipe:
            pipe = Pipe(at.sidecar)
            pipe.ask("POST", f"{PATH}/k1/resolve", body=body)
            await pipe.answered()
            return pipe

        early = await resolve(b'{"as":"NOT_EXECUTED","because":"I looked"}')
        assert early.statuses() == [409]
        assert b"fence_not_passed" in early.got
        await at.scheduler.wait("k1")
        await asyncio.sleep(60)
        decided = await resolve(
            b'{"as":"CONFIRMED","because":"the support said so","tran_id":"%d"}' % other.tran_id
        )
        assert decided.statuses() == [200]
        entry = await at.scheduler.get("k1")
        assert (entry.state, entry.tran_id) == (State.CONFIRMED, other.tran_id)
        assert "the support said so" in entry.evidence[-1].detail
        late = await resolve(b'{"as":"NOT_EXECUTED","because":"I looked"}')
        assert late.statuses() == [409]
        assert b"not_undecided" in late.got


async def test_a_transaction_that_belongs_to_another_submission_resolves_nothing() -> None:
    async with house(listen=(), hosts=("localhost:80",)) as at:
        taken = await at.scheduler.borrow("main", "USDT", "1", key="k0")
        at.sim.fail_next("lost_after")
        await at.scheduler.submit("main", "BORROW", "USDT", "2", key="k1")
        await asyncio.sleep(0.2)
        at.sim.foreign("main", "BORROW", "USDT", "2")
        await at.scheduler.wait("k1")
        await asyncio.sleep(60)
        pipe = Pipe(at.sidecar)
        body = b'{"as":"CONFIRMED","because":"I looked","tran_id":%d}' % (taken.tran_id or 0)
        pipe.ask("POST", f"{PATH}/k1/resolve", body=body)
        await pipe.answered()
        assert pipe.statuses() == [409]
        assert b"tran_id_claimed" in pipe.got


@over_the_socket
async def test_a_paused_account_takes_and_sends_nothing(at: House, asker: Asker) -> None:
    paused = await asker.ask("POST", "/v1/accounts/main/pause")
    assert (paused.status, paused.json["is_paused"]) == (200, True)
    await asker.ask("POST", PATH, borrow("k1"))
    assert (await asker.ask("GET", "/v1/accounts/main")).json["queued"]["normal"] == 1
    resumed = await asker.ask("POST", "/v1/accounts/main/resume")
    assert resumed.json["is_paused"] is False
    assert (await asker.ask("GET", f"{PATH}/k1?wait=10")).json["state"] == "CONFIRMED"


# Accounts


@over_the_socket
async def test_accounts_tell_what_they_are_doing(at: House, asker: Asker) -> None:
    at.sim.spend_weight("main", 3_000)
    await at.scheduler.borrow("main", "USDT", "1")
    told = (await asker.ask("GET", "/v1/accounts")).json["accounts"]
    assert [account["account"] for account in told] == ["main", "hedge"]
    main = told[0]
    assert main["weight"] == {
        "limit": 180_000,
        "used": 1_500,
        "foreign": 3_000,
        "reserved": 9_000,
        "left": 180_000 - 1_500 - 9_000,  # others may spend the reserve
    }
    assert main["queued"] == {"urgent": 0, "normal": 0, "oldest_submitted_at_ms": None}
    assert (main["in_air"], main["undecided"], main["holds"], main["stopped"]) == ([], [], [], None)
    assert main["next_start"]["ahead"] == 0
    assert main == {**(await asker.ask("GET", "/v1/accounts/main")).json, **_times(main)}


def _times(told: dict[str, object]) -> dict[str, object]:
    return {name: told[name] for name in ("as_of_ms", "next_start")}


async def test_an_account_shows_what_is_in_the_air_since_when_and_what_is_undecided() -> None:
    async with house(listen=(), hosts=("localhost:80",), sim={"processing_ms": 8_000}) as at:
        at.sim.fail_next("lost_after")
        lost = await at.scheduler.submit("main", "BORROW", "USDT", "1", key="lost")
        await asyncio.sleep(1)
        air = (await _account(at))["in_air"]
        assert [entry["key"] for entry in air] == ["lost"]
        assert lost.submitted_at_ms <= air[0]["sent_at_ms"] <= lost.submitted_at_ms + 1_000
        await at.scheduler.submit("main", "BORROW", "USDT", "2", key="behind", priority="urgent")
        while (await at.scheduler.get("lost")).state is State.SENT:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        told = await _account(at)
        assert [entry["key"] for entry in told["undecided"]] == ["lost"]
        assert told["undecided_count"] == 1
        assert told["queued"]["urgent"] == 1
        assert {"cause": "unknown", "asset": "USDT", "until_ms": None} in told["holds"]


async def test_a_stopped_account_says_why_and_refuses_what_is_new() -> None:
    async with house(listen=(), hosts=("localhost:80",)) as at:
        at.sim.revoke_key("main")
        pipe = Pipe(at.sidecar)
        body = b'{"account":"main","kind":"BORROW","asset":"USDT","amount":"1","key":"%b"}'
        pipe.ask("POST", f"{PATH}?wait=30", body=body % b"k1")
        await pipe.answered()
        await asyncio.sleep(1)
        told = await _account(at)
        assert "-2015" in told["stopped"]
        assert [alarm["cause"] for alarm in told["alarms"]] == ["account_stopped"]
        pipe = Pipe(at.sidecar)
        pipe.ask("POST", PATH, body=body % b"k2")
        await pipe.answered()
        assert pipe.statuses() == [409]
        assert b"account_stopped" in pipe.got


async def _account(at: House) -> Any:
    pipe = Pipe(at.sidecar)
    pipe.ask("GET", "/v1/accounts/main")
    await pipe.answered()
    return orjson.loads(pipe.got.split(b"\r\n\r\n")[1])


# What is owed, and what can be borrowed

DEBT = "/v1/accounts/main/debt"
MOST = "/v1/accounts/main/max-borrowable"
SETTLE = "/v1/accounts/main/settle-debt"


@over_the_socket
async def test_all_of_a_debt_is_repaid_whatever_it_is_by_then(at: House, asker: Asker) -> None:
    at.sim.set_debt("main", "USDT", "10", interest="0.5")
    body = borrow(kind="REPAY", amount="all", priority="urgent")
    told = (await asker.ask("POST", f"{PATH}?wait=10", body)).json
    assert (told["state"], told["requested"], told["amount"]) == ("CONFIRMED", "all", "10.50000000")
    again = (await asker.ask("POST", PATH, body)).json
    assert (again["replayed"], again["tran_id"]) == (True, told["tran_id"])
    other = await asker.ask("POST", PATH, {**body, "amount": "10.5"})
    assert (other.status, other.code) == (409, "key_reused")
    none = (await asker.ask("POST", f"{PATH}?wait=10", {**body, "key": "k2"})).json
    assert (none["state"], none["code"], none["name"]) == ("REJECTED", 0, "NOTHING_OWED")
    assert len(at.sim.ledger.booked()) == 1


@over_the_socket
async def test_the_most_or_at_most_so_much_is_borrowed(at: House, asker: Asker) -> None:
    at.sim.set_max_borrowable("main", "BTC", "5")
    for key, amount, at_most, taken in (("k1", "2", True, "2"), ("k2", "max", False, "3.00000000")):
        body = borrow(key, asset="BTC", amount=amount, at_most=at_most)
        told = (await asker.ask("POST", f"{PATH}?wait=10", body)).json
        assert (told["state"], told["amount"]) == ("CONFIRMED", taken)
    at.sim.set_max_borrowable("main", "BTC", "4")
    unasked = (
        await asker.ask("POST", f"{PATH}?wait=10", borrow("k3", asset="BTC", amount="9"))
    ).json
    assert (unasked["state"], unasked["code"]) == ("REJECTED", -3006)
    body = borrow("k4", asset="BTC", amount="9", at_most=True)
    told = (await asker.ask("POST", f"{PATH}?wait=10", body)).json
    assert (told["requested"], told["amount"]) == ("9", "4.00000000")
    assert any("lowered from 9 to 4" in evidence["detail"] for evidence in told["evidence"])
    reused = await asker.ask("POST", PATH, {**body, "at_most": False})
    assert (reused.status, reused.code) == (409, "key_reused")


@over_the_socket
async def test_a_banned_asset_is_told_before_anything_is_sent(at: House, asker: Asker) -> None:
    at.sim.set_banned_asset("BTC")
    body = borrow(asset="BTC", precheck=True)
    told = (await asker.ask("POST", f"{PATH}?wait=10", body)).json
    assert (told["state"], told["code"], told["attempts"]) == ("REJECTED", -3012, 0)


@over_the_socket
async def test_a_debt_is_told_with_its_time(at: House, asker: Asker) -> None:
    at.sim.set_debt("main", "USDT", "10", interest="0.00000001")
    at.sim.set_debt("main", "BTC", "2", symbol="BTCUSDT")
    before_ms = at.sim.now_ms()
    told = (await asker.ask("GET", f"{DEBT}?asset=USDT")).json
    assert before_ms - 50 <= told.pop("as_of_ms") <= at.sim.now_ms()
    assert told == {
        "account": "main",
        "asset": "USDT",
        "symbol": None,
        "principal": "10.00000000",
        "interest": "0.00000001",
        "total": "10.00000001",
    }
    isolated = (await asker.ask("GET", f"{DEBT}?asset=BTC&symbol=BTCUSDT")).json
    assert (isolated["symbol"], isolated["total"]) == ("BTCUSDT", "2.00000000")
    nothing = (await asker.ask("GET", f"{DEBT}?asset=BTC")).json
    assert float(nothing["total"]) == 0


@over_the_socket
async def test_all_debts_are_told_where_no_asset_is_named(at: House, asker: Asker) -> None:
    at.sim.set_debt("main", "USDT", "10")
    at.sim.set_debt("main", "BTC", "1")
    at.sim.set_debt("main", "ETH", "2", symbol="ETHUSDT")
    told = (await asker.ask("GET", DEBT)).json
    assert (told["account"], told["symbol"]) == ("main", None)
    assert [(debt["asset"], debt["total"]) for debt in told["debts"]] == [
        ("BTC", "1.00000000"),
        ("USDT", "10.00000000"),
    ]
    assert {debt["as_of_ms"] for debt in told["debts"]} == {told["as_of_ms"]}
    pair = (await asker.ask("GET", f"{DEBT}?symbol=ETHUSDT")).json
    assert [(debt["asset"], debt["symbol"]) for debt in pair["debts"]] == [("ETH", "ETHUSDT")]
    assert (await asker.ask("GET", "/v1/accounts/hedge/debt")).json["debts"] == []


@over_the_socket
async def test_what_is_fresh_is_asked_for_anew(at: House, asker: Asker) -> None:
    at.sim.set_debt("main", "USDT", "10")
    first = (await asker.ask("GET", f"{DEBT}?asset=USDT")).json
    at.sim.set_debt("main", "USDT", "11")
    assert (await asker.ask("GET", f"{DEBT}?asset=USDT&fresh=false")).json == first
    assert (await asker.ask("GET", f"{DEBT}?asset=USDT&fresh=true")).json["total"] == "11.00000000"


@over_the_socket
async def test_what_can_be_borrowed_is_told_with_its_time(at: House, asker: Asker) -> None:
    at.sim.set_max_borrowable("main", "BTC", "5")
    told = (await asker.ask("GET", f"{MOST}?asset=BTC")).json
    assert told.keys() == {"account", "asset", "symbol", "amount", "limit", "as_of_ms"}
    assert (told["account"], told["asset"], told["amount"]) == ("main", "BTC", "5")
    at.sim.drain("BTC")
    none = (await asker.ask("GET", f"{MOST}?asset=BTC&fresh=true")).json
    assert (float(none["amount"]), none["limit"]) == (0, None)


@over_the_socket
async def test_an_asset_is_told_with_its_inventories(at: House, asker: Asker) -> None:
    at.sim.set_minimums("SOL", borrow="1", repay="2")
    at.sim.set_banned_asset("SOL")
    at.sim.set_inventory("SOL", "7")
    at.sim.set_inventory("SOL", "8", isolated=True)
    told = (await asker.ask("GET", "/v1/assets/SOL")).json
    times = [told.pop("as_of_ms")]
    times += [told[name].pop("as_of_ms") for name in ("inventory", "isolated_inventory")]
    assert all(abs(at.sim.now_ms() - time_ms) < 60_000 for time_ms in times)
    assert told == {
        "asset": "SOL",
        "is_borrowable": False,
        "min_borrow": "1",
        "min_repay": "2",
        "inventory": {"amount": "7"},
        "isolated_inventory": {"amount": "8"},
    }


@over_the_socket
async def test_a_look_that_fails_is_a_503_of_its_own(at: House, asker: Asker) -> None:
    at.sim.read_fault_rates = {"503_before": 1.0}
    for path in (f"{DEBT}?asset=USDT", DEBT, f"{MOST}?asset=BTC", "/v1/assets/USDT"):
        answer = await asker.ask("GET", path)
        assert (answer.status, answer.code) == (503, "look_failed")
        assert int(answer.headers["retry-after"]) >= 1


async def _settled(at: House, body: bytes) -> tuple[int, Any, float]:
    """The answer to one who waits for a debt to be settled, and the seconds that took."""
    pipe = Pipe(at.sidecar)
    pipe.ask("POST", SETTLE, body=body)
    took_s = await pipe.answered()
    return pipe.statuses()[0], orjson.loads(pipe.got.split(b"\r\n\r\n")[1]), took_s


async def test_a_debt_that_an_order_silently_left_is_repaid() -> None:
    async with house(listen=(), hosts=("localhost:80",)) as at:
        at.sim.set_debt("main", "USDT", "100")
        at.sim.order("main", "USDT", "100", "auto_repay", fails_silently=True)
        status, told, _ = await _settled(at, b'{"asset":"USDT"}')
        assert (status, told["outcome"]) == (200, "repaid")
        assert told.keys() == {"account", "asset", "symbol", "outcome", "debt", "keys", "as_of_ms"}
        assert float(told["debt"]["total"]) == 0
        assert (await at.scheduler.get(told["keys"][0])).state is State.CONFIRMED
        status, told, _ = await _settled(at, b'{"asset":"USDT"}')
        assert (status, told["outcome"], told["keys"]) == (200, "clear", [])
        assert len(at.sim.ledger.booked()) == 1


async def test_a_debt_that_is_only_to_be_reported_stays() -> None:
    async with house(listen=(), hosts=("localhost:80",)) as at:
        at.sim.set_debt("main", "BTC", "2", symbol="BTCUSDT")
        body = b'{"asset":"BTC","symbol":"BTCUSDT","report_only":true}'
        status, told, _ = await _settled(at, body)
        assert (status, told["outcome"], told["symbol"]) == (200, "left", "BTCUSDT")
        assert told["debt"]["total"] == "2.00000000"
        assert at.sim.ledger.booked() == []


async def test_a_settlement_ends_pending_when_its_time_is_over() -> None:
    async with house(listen=(), hosts=("localhost:80",)) as at:
        at.sim.set_debt("main", "USDT", "100")
        await at.scheduler.pause("main")
        status, told, took_s = await _settled(at, b'{"asset":"USDT","within_ms":7500}')
        assert (status, told["outcome"]) == (200, "pending")
        assert took_s == pytest.approx(7.5, abs=0.5)


async def test_a_settlement_that_could_not_look_is_a_503_at_its_end() -> None:
    async with house(listen=(), hosts=("localhost:80",)) as at:
        at.sim.read_fault_rates = {"503_before": 1.0}
        status, told, took_s = await _settled(at, b'{"asset":"USDT","within_ms":5000}')
        assert (status, told["code"]) == (503, "look_failed")
        assert took_s == pytest.approx(5, abs=1.5)


async def test_a_repayment_that_could_not_start_in_time_names_the_time_given() -> None:
    async with house(listen=(), hosts=("localhost:80",), limits=QUICK_MINUTE) as at:
        at.sim.set_debt("main", "USDT", "100")
        await at.scheduler.borrow("main", "USDT", "1")
        status, told, _ = await _settled(at, b'{"asset":"USDT","within_ms":9000}')
        assert (status, told["code"]) == (429, "cannot_start_in_time")
        assert told["field"] == "within_ms"


async def test_what_was_begun_for_a_client_that_leaves_goes_on() -> None:
    async with house(listen=(), hosts=("localhost:80",)) as at:
        at.sim.set_debt("main", "USDT", "100")
        pipe = Pipe(at.sidecar)
        pipe.ask("POST", SETTLE, body=b'{"asset":"USDT"}')
        await asyncio.sleep(0.5)
        pipe.leave()
        _, told, _ = await _settled(at, b'{"asset":"USDT"}')
        assert told["outcome"] == "repaid"
        assert len(at.sim.ledger.booked()) == 1


async def test_draining_answers_whoever_waits_for_a_settlement_and_begins_none() -> None:
    async with house(listen=(), hosts=("localhost:80",)) as at:
        at.sim.set_debt("main", "USDT", "100")
        await at.scheduler.pause("main")
        pipe = Pipe(at.sidecar)
        pipe.ask("POST", SETTLE, body=b'{"asset":"USDT"}')
        await asyncio.sleep(1)
        assert not pipe.got
        at.sidecar.drain()
        assert await pipe.answered() == pytest.approx(1, abs=0.1)
        assert pipe.statuses() == [503]
        status, told, _ = await _settled(at, b'{"asset":"USDT"}')
        assert (status, told["code"]) == (503, "draining")


async def test_no_more_than_so_many_wait_for_a_settlement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "WAITS_MAX", 2)
    async with house(listen=(), hosts=("localhost:80",)) as at:
        at.sim.set_debt("main", "USDT", "100")
        await at.scheduler.pause("main")
        waiting = [Pipe(at.sidecar) for _ in range(2)]
        for pipe in waiting:
            pipe.ask("POST", SETTLE, body=b'{"asset":"USDT"}')
        await asyncio.sleep(0.1)
        status, told, took_s = await _settled(at, b'{"asset":"USDT"}')
        assert (status, told["code"]) == (503, "too_many_waiting")
        assert took_s < 1


# Operation


@over_the_socket
async def test_health_needs_no_token_and_tells_nothing(at: House) -> None:
    async with asking(at.address, token=None) as asker:
        for path in ("/healthz", "/readyz"):
            answer = await asker.ask("GET", path, headers={"Host": "probe"})
            assert (answer.status, answer.json) == (200, {"status": "ok"})


@over_the_socket
async def test_metrics_are_for_prometheus(at: House, asker: Asker) -> None:
    await at.scheduler.borrow("main", "USDT", "1")
    answer = await asker.ask("GET", "/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain")
    assert b"margin_scheduler_submissions_total{" in answer.body


@over_the_socket
async def test_no_answer_is_kept_by_a_cache_or_tells_what_it_is_made_with(asker: Asker) -> None:
    for path in ("/v1/accounts", "/metrics", "/openapi.json", "/nothing", "/healthz"):
        answer = await asker.ask("GET", path)
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["server"] == "margin-scheduler"
