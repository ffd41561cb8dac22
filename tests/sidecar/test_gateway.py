"""The drop-in gateway as a bot sees it: the exchange, only calmer."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from scheduler import State
from scheduler.sidecar.options import Client

from .bots import BOT, OTHER, PATH, Heard, left, world

pytestmark = pytest.mark.anyio


async def test_a_borrow_is_answered_as_the_exchange_answers_it() -> None:
    async with world() as w:
        heard = await w.bot().borrow("12.5")
        assert heard.content == {"tranId": w.sim.ledger.booked()[0].tran_id}
        entry = await w.scheduler.get(f"bot-a:{heard.key}")
        assert (entry.state, entry.requested, entry.symbol) == (State.CONFIRMED, "12.5", None)
        assert not heard.is_replayed


async def test_parameters_may_stand_in_the_form() -> None:
    async with world() as w:
        asked = {"asset": "BTC", "isIsolated": "FALSE", "amount": "1", "type": "BORROW"}
        heard = await w.bot().call("POST", PATH, asked, in_body=True)
        assert heard.tran_id == w.sim.ledger.booked()[0].tran_id


async def test_the_query_wins_over_the_form() -> None:
    async with world() as w:
        bot = w.bot()
        query = f"amount=3&timestamp={w.sim.now_ms()}"
        body = "amount=4&asset=USDT&isIsolated=FALSE&type=BORROW"
        signed = f"{body}&signature={bot.signature(query + body)}"
        await w.ask("POST", PATH, query, {"x-mbx-apikey": bot.api_key}, signed.encode())
        assert [t.amount for t in w.sim.ledger.booked()] == [3]


async def test_isolated_margin_names_its_pair() -> None:
    async with world() as w:
        await w.bot().borrow(isIsolated="TRUE", symbol="BTCUSDT")
        assert [t.symbol for t in w.sim.ledger.booked()] == ["BTCUSDT"]


async def test_the_accounts_own_key_is_taken_as_well() -> None:
    async with world() as w:
        account = w.sim.account("main")
        bot = w.bot(Client(name="", account="", api_key=account.api_key, secret=account.secret))
        heard = await bot.borrow()
        assert (await w.scheduler.get(f"main:{heard.key}")).tran_id == heard.tran_id


@pytest.mark.parametrize("code", [-3006, -3012, -3015, -2015, -3999])
async def test_a_refusal_arrives_word_for_word(code: int) -> None:
    async with world() as w:
        w.sim.fail_next(code)
        heard = await w.bot().borrow()
        entry = await w.scheduler.get(f"bot-a:{heard.key}")
        assert heard.content == {"code": code, "msg": entry.message}
        assert heard.status == 400


# The patience


async def test_a_hundred_at_once_are_sixty_loans_within_the_patience_and_forty_429() -> None:
    async with world(patience_ms=6_200, processing_ms=95, jitter=0) as w:
        heard = await asyncio.gather(*(w.bot().borrow() for _ in range(100)))
        told = Counter((h.status, h.content.get("code")) for h in heard)
        assert set(told) == {(200, None), (429, -1003)}
        assert told[200, None] == w.booked() >= 55
        refused = next(h for h in heard if h.status == 429)
        assert int(refused.headers["Retry-After"]) >= 1
        entry = await w.scheduler.get(f"bot-a:{refused.key}")
        assert entry.state is State.CANCELLED


async def test_a_hundred_equal_ones_at_once_are_a_hundred_loans() -> None:
    async with world(patience_ms=25_000) as w:
        heard = await asyncio.gather(*(w.bot().borrow() for _ in range(100)))
        assert len({h.tran_id for h in heard}) == 100 == w.booked()
        assert not any(h.is_replayed for h in heard)


async def test_what_cannot_start_within_the_patience_is_refused_at_once() -> None:
    async with world() as w:
        w.sim.spend_weight("main", 180_000)
        w.sim.fail_next("429")
        await w.bot().borrow()
        before_s = asyncio.get_running_loop().time()
        heard = await w.bot().borrow()
        assert (heard.status, heard.code) == (429, -1003)
        assert asyncio.get_running_loop().time() - before_s < 1
        assert int(heard.headers["Retry-After"]) > 8


async def test_a_refusal_that_outlasts_the_patience_is_passed_on() -> None:
    async with world() as w:
        w.sim.drain("USDT")
        heard = await w.bot().borrow()
        assert (heard.status, heard.code) == (400, -3045)
        entry = await w.scheduler.get(f"bot-a:{heard.key}")
        assert entry.state is State.CANCELLED
        w.sim.refill("USDT", 1_000_000)
        await asyncio.sleep(60)
        assert w.booked() == 0


async def test_what_is_in_the_air_when_the_patience_ends_may_still_land() -> None:
    async with world(patience_ms=1_000, processing_ms=1_100, jitter=0) as w:
        assert (await w.bot().borrow()).status == 200


async def test_what_stays_in_the_air_is_a_504() -> None:
    async with world(patience_ms=1_000, processing_ms=3_000) as w:
        heard = await w.bot().borrow()
        assert (heard.status, heard.code) == (504, -1007)
        await asyncio.sleep(5)
        assert w.booked() == 1


async def test_nothing_is_sent_any_more_once_its_client_was_told_504() -> None:
    async with world(patience_ms=500, round_trip_ms=(900, 900)) as w:
        w.sim.order("main", "BTC", 1, occupies_ms=1_500)
        heard = await w.bot().borrow()
        assert heard.status == 504
        await asyncio.sleep(60)
        entry = await w.scheduler.get(f"bot-a:{heard.key}")
        assert (entry.state, entry.code, entry.attempts) == (State.CANCELLED, -3007, 1)


async def test_a_lost_answer_that_is_found_in_time_is_a_success() -> None:
    async with world() as w:
        w.sim.fail_next("lost_after")
        heard = await w.bot().borrow()
        assert heard.tran_id == w.sim.ledger.booked()[0].tran_id


async def test_an_outcome_that_needs_a_person_is_never_called_not_executed() -> None:
    async with world(account={"exclusive": False}) as w:
        w.sim.fail_next("lost_after")
        heard = await w.bot().borrow()
        assert (await w.scheduler.get(f"bot-a:{heard.key}")).state is State.UNRESOLVED
        assert (heard.status, heard.code) == (504, -1007)


# Leaving


async def test_what_is_queued_is_taken_back_when_its_client_leaves() -> None:
    async with world() as w:
        first = asyncio.create_task(w.bot().borrow("1"))
        second = asyncio.create_task(w.bot().borrow("2"))
        await asyncio.sleep(0.05)
        await left(second)
        await first
        await asyncio.sleep(10)
        assert [t.amount for t in w.sim.ledger.booked()] == [1]
        assert len(await w.scheduler.list(state=State.CANCELLED)) == 1


async def test_leave_in_the_air_and_repeat_is_one_loan() -> None:
    async with world() as w:
        waiting = asyncio.create_task(w.bot().borrow())
        await asyncio.sleep(0.05)
        await left(waiting)
        await asyncio.sleep(5)
        heard = await w.bot().borrow("10.0")
        assert heard.is_replayed
        assert heard.tran_id == w.sim.ledger.booked()[0].tran_id
        assert w.booked() == 1


async def test_what_was_taken_over_is_taken_over_once() -> None:
    async with world() as w:
        waiting = asyncio.create_task(w.bot().borrow())
        await asyncio.sleep(0.05)
        await left(waiting)
        heard = await asyncio.gather(w.bot().borrow(), w.bot().borrow())
        assert sorted(h.is_replayed for h in heard) == [False, True]
        assert w.booked() == 2
        assert not (await w.bot().borrow()).is_replayed
        assert w.booked() == 3


async def test_repeated_after_the_adoption_time_it_is_a_second_loan() -> None:
    async with world(adopt_s=30) as w:
        for pause_s, count in ((29, 1), (31, 3)):
            waiting = asyncio.create_task(w.bot().borrow())
            await asyncio.sleep(0.05)
            await left(waiting)
            await asyncio.sleep(pause_s)
            await w.bot().borrow()
            assert w.booked() == count


@pytest.mark.parametrize(
    "changed",
    [
        {"amount": "10.5"},
        {"asset": "BTC"},
        {"isIsolated": "TRUE", "symbol": "BTCUSDT"},
    ],
)
async def test_only_an_equal_request_takes_over(changed: dict[str, str]) -> None:
    async with world() as w:
        waiting = asyncio.create_task(w.bot().borrow())
        await asyncio.sleep(0.05)
        await left(waiting)
        heard = await w.bot().borrow(**changed)
        assert not heard.is_replayed
        assert w.booked() == 2


async def test_another_client_takes_nothing_over() -> None:
    async with world() as w:
        waiting = asyncio.create_task(w.bot().borrow())
        await asyncio.sleep(0.05)
        await left(waiting)
        assert not (await w.bot(OTHER).borrow()).is_replayed
        assert w.booked() == 2


async def test_an_answer_that_found_nobody_is_there_for_the_repeat() -> None:
    async with world() as w:
        bot = w.bot()
        asked = {"asset": "USDT", "isIsolated": "FALSE", "amount": "10", "type": "BORROW"}
        query = bot.signed({**asked, "timestamp": str(w.sim.now_ms())})
        with pytest.raises(ConnectionResetError):
            await w.ask("POST", PATH, query, {"x-mbx-apikey": bot.api_key}, is_gone=True)
        assert w.unheard[0].status == 200
        assert (await bot.borrow()).is_replayed
        assert w.booked() == 1


async def test_a_504_is_taken_over_by_its_repeat() -> None:
    async with world(patience_ms=1_000, processing_ms=3_000) as w:
        told = await w.bot().borrow()
        again = await w.bot().borrow()
        third = await w.bot().borrow()
        assert [told.status, again.status, third.status] == [504, 504, 200]
        assert again.is_replayed
        assert third.is_replayed
        assert told.key == again.key == third.key
        assert w.booked() == 1


async def test_a_lost_loan_that_never_was_is_asked_for_anew() -> None:
    async with world() as w:
        w.sim.fail_next("lost_before")
        told = await w.bot().borrow()
        assert told.status == 504
        await asyncio.sleep(40)
        assert (await w.scheduler.get(f"bot-a:{told.key}")).state is State.NOT_EXECUTED
        again = await w.bot().borrow()
        assert again.tran_id == w.sim.ledger.booked()[0].tran_id
        assert not again.is_replayed


async def test_the_repeat_of_one_that_turns_out_never_to_have_been_is_sent_meanwhile() -> None:
    async with world() as w:
        w.sim.fail_next("lost_before")
        assert (await w.bot().borrow()).status == 504
        await asyncio.sleep(22)  # proof comes while the repeat waits
        again = await w.bot().borrow()
        assert again.status == 200
        assert not again.is_replayed
        assert w.booked() == 1


async def test_what_comes_back_to_its_queue_after_its_client_left_is_taken_back() -> None:
    async with world(patience_ms=25_000) as w:
        w.sim.order("main", "BTC", 1, occupies_ms=2_000)
        waiting = asyncio.create_task(w.bot().borrow())
        await asyncio.sleep(0.001)
        await left(waiting)
        await asyncio.sleep(20)
        assert len(await w.scheduler.list(state=State.CANCELLED)) == 1
        assert [t.origin for t in w.sim.ledger.booked()] == ["order"]


@pytest.mark.parametrize("kept", ["memory", "file"])
async def test_leaving_at_any_moment_and_repeating_is_one_loan(kept: str, tmp_path: Path) -> None:
    for step in range(0, 240, 6):
        journal = "memory:" if kept == "memory" else f"sqlite:///{tmp_path / f'{step}.db'}"
        async with world(seed=step, journal=journal) as w:
            waiting = asyncio.create_task(w.bot().borrow())
            await asyncio.sleep(step / 1000)
            waiting.cancel()
            await asyncio.wait([waiting])
            if waiting.cancelled():
                assert (await w.bot().borrow()).status == 200
            await asyncio.sleep(20)
            assert w.booked() == 1, step


@pytest.mark.parametrize("kept", ["memory", "file"])
async def test_repeats_and_departures_in_any_order_are_never_two_loans(
    kept: str, tmp_path: Path
) -> None:
    for step in range(1, 90, 4):
        journal = "memory:" if kept == "memory" else f"sqlite:///{tmp_path / f'{step}.db'}"
        async with world(seed=step, journal=journal) as w:
            for _ in range(6):
                waiting = asyncio.create_task(w.bot().borrow())
                await asyncio.sleep(step / 1000)
                waiting.cancel()
                await asyncio.wait([waiting])
                if not waiting.cancelled():
                    break
            else:
                assert (await w.bot().borrow()).status == 200
            await asyncio.sleep(20)
            assert w.booked() == 1, step


# Keys


async def test_a_key_of_ones_own_makes_repeating_safe() -> None:
    async with world() as w:
        first = await w.bot().borrow(key="order-17")
        again = await w.bot().borrow(key="order-17")
        assert first.tran_id == again.tran_id
        assert [first.is_replayed, again.is_replayed] == [False, True]
        assert first.key == again.key == "order-17"
        assert (await w.scheduler.get("bot-a:order-17")).tran_id == first.tran_id
        assert w.booked() == 1


async def test_a_key_of_ones_own_is_found_by_nothing_else() -> None:
    async with world() as w:
        waiting = asyncio.create_task(w.bot().borrow(key="order-17"))
        await asyncio.sleep(0.05)
        await left(waiting)
        assert not (await w.bot().borrow()).is_replayed
        assert (await w.bot().borrow(key="order-17")).is_replayed
        assert w.booked() == 2


async def test_the_key_of_a_504_finds_it_again() -> None:
    async with world(patience_ms=1_000, processing_ms=3_000) as w:
        told = await w.bot().borrow()
        await asyncio.sleep(5)
        again = await w.bot().borrow(key=told.key)
        assert again.is_replayed
        assert not (await w.bot().borrow()).is_replayed
        assert w.booked() == 1  # the third is still in the air


async def test_two_that_share_a_key_share_the_loan_even_if_one_leaves() -> None:
    async with world() as w:
        ahead = asyncio.create_task(w.bot().borrow("1"))
        await asyncio.sleep(0.01)
        one = asyncio.create_task(w.bot().borrow(key="order-17"))
        two = asyncio.create_task(w.bot().borrow(key="order-17"))
        await asyncio.sleep(0.05)
        await left(one)
        assert (await two).status == 200
        await ahead
        assert w.booked() == 2


async def test_a_key_belongs_to_one_request() -> None:
    async with world() as w:
        await w.bot().borrow("1", key="order-17")
        heard = await w.bot().borrow("2", key="order-17")
        assert (heard.status, heard.code) == (400, -1100)
        assert w.booked() == 1


async def test_clients_keys_do_not_meet() -> None:
    async with world() as w:
        await w.bot(BOT).borrow(key="order-17")
        await w.bot(OTHER).borrow(key="order-17")
        assert w.booked() == 2


# Trouble of our own


async def test_draining_takes_back_what_is_queued_and_takes_nothing_new() -> None:
    async with world() as w:
        waiting = [asyncio.create_task(w.bot().borrow(str(n))) for n in (1, 2, 3)]
        await asyncio.sleep(0.05)
        w.gateway.drain()
        heard: list[Heard] = await asyncio.gather(*waiting)
        assert sorted(h.status for h in heard) == [200, 503, 503]
        new = await w.bot().borrow()
        assert (new.status, new.code) == (503, -1016)
        assert w.booked() == 1


async def test_what_is_queued_is_taken_back_before_the_scheduler_is_closed() -> None:
    async with world() as w:
        waiting = [asyncio.create_task(w.bot().borrow(str(n))) for n in (1, 2, 3)]
        await asyncio.sleep(0.05)
        w.gateway.drain()
        await w.gateway.drained()
        await w.scheduler.aclose()
        heard: list[Heard] = await asyncio.gather(*waiting)
        assert sorted(h.status for h in heard) == [200, 503, 503]
        assert all(b"nothing was executed" in str(h.content).encode() for h in heard[1:])


async def test_a_stopped_account_refuses_the_key() -> None:
    async with world() as w:
        w.sim.revoke_key("main")
        assert (await w.bot().borrow("1")).code == -2015
        heard = await w.bot().borrow("2")
        assert (heard.status, heard.code) == (401, -2015)
