"""One transaction of an account at a time, and what it does to debts, stock and balances."""

import asyncio
from decimal import Decimal

import pytest

from scheduler.simulator import Simulator

from .client import Client

pytestmark = pytest.mark.anyio


async def test_a_borrow_is_booked_after_its_processing_time(sim: Simulator, client: Client) -> None:
    said = await client.borrow("USDT", "100")
    [transaction] = sim.ledger.booked("main")
    assert said.json == {"tranId": transaction.tran_id, "clientTag": ""}
    assert transaction.amount == transaction.principal == 100
    assert 95 <= transaction.processing_ms <= 105
    assert transaction.finished_s - transaction.started_s >= 0.095
    assert sim.ledger.debt("main", "USDT") == 100


async def test_transaction_ids_are_beyond_what_a_float_holds_and_grow(client: Client) -> None:
    ids = [(await client.borrow()).tran_id for _ in range(5)]
    assert ids == sorted(set(ids))
    assert min(ids) > 2**53


async def test_while_one_runs_a_further_one_of_another_asset_gets_3007(client: Client) -> None:
    first, second = await asyncio.gather(client.borrow("USDT"), client.borrow("BTC"))
    assert sorted([first.status, second.status]) == [200, 400]
    refused = first if first.status == 400 else second
    assert refused.json == {
        "code": -3007,
        "msg": "You have pending transaction, please try again later.",
    }


async def test_of_100_borrows_fired_at_once_one_succeeds(sim: Simulator, client: Client) -> None:
    said = await asyncio.gather(*(client.borrow() for _ in range(100)))
    assert sorted(reply.status for reply in said) == [200] + [400] * 99
    assert sim.ledger.refusals() == {-3007: 99}
    assert len(sim.ledger.booked()) == 1


async def test_accounts_do_not_block_each_other(sim: Simulator, client: Client) -> None:
    both = await asyncio.gather(client.borrow(), Client(sim, "other").borrow())
    assert [said.status for said in both] == [200, 200]


async def test_with_lane_pair_only_the_same_pair_is_blocked() -> None:
    async with Simulator(port=None, lane="pair") as sim:
        client = Client(sim)
        cross, one, other, same = await asyncio.gather(
            client.borrow("USDT"),
            client.borrow("USDT", symbol="BTCUSDT"),
            client.borrow("USDT", symbol="ETHUSDT"),
            client.borrow("BTC", symbol="BTCUSDT"),
        )
        assert sorted([cross.status, other.status]) == [200, 200]
        assert sorted([one.status, same.status]) == [200, 400]
        assert sim.account("main").lane == "pair"


async def test_with_lane_account_isolated_pairs_block_each_other_too(client: Client) -> None:
    both = await asyncio.gather(
        client.borrow("USDT", symbol="BTCUSDT"), client.borrow("USDT", symbol="ETHUSDT")
    )
    assert sorted(said.status for said in both) == [200, 400]


async def test_answering_at_once_the_account_stays_busy_until_processing_is_over() -> None:
    async with Simulator(port=None, answers="at_once") as sim:
        client = Client(sim)
        assert (await client.borrow()).status == 200
        assert sim.ledger.debt("main", "USDT") == 0
        assert (await client.borrow()).code == -3007
        await asyncio.sleep(0.2)
        assert sim.ledger.debt("main", "USDT") == 10


async def test_a_repayment_pays_interest_first(sim: Simulator, client: Client) -> None:
    sim.set_debt("main", "USDT", "100", interest="3")
    await client.repay("USDT", "5")
    [transaction] = sim.ledger.booked()
    assert transaction.interest == 3
    assert transaction.principal == 2
    assert sim.ledger.owed("main", "USDT").principal == 98
    assert sim.ledger.debt("main", "USDT") == 98


async def test_cross_and_isolated_debts_are_apart(sim: Simulator, client: Client) -> None:
    await client.borrow("USDT", "7")
    await client.borrow("USDT", "9", symbol="BTCUSDT")
    assert sim.ledger.debt("main", "USDT") == 7
    assert sim.ledger.debt("main", "USDT", "BTCUSDT") == 9


async def test_stock_goes_down_with_a_borrow_and_up_with_repaid_principal(
    sim: Simulator, client: Client
) -> None:
    sim.set_inventory("BTC", "1.5")
    assert (await client.borrow("BTC", "1")).status == 200
    assert (await client.borrow("BTC", "0.6")).code == -3045
    assert (await client.borrow("BTC", "0.5")).status == 200
    await client.repay("BTC", "1.5")
    assert (await client.borrow("BTC", "1.5")).status == 200


async def test_two_accounts_cannot_both_be_lent_the_last_coin(sim: Simulator) -> None:
    sim.set_inventory("BTC", "1")
    both = await asyncio.gather(
        Client(sim, "one").borrow("BTC", "1"), Client(sim, "two").borrow("BTC", "1")
    )
    assert sorted(said.status for said in both) == [200, 400]


async def test_below_the_critical_level_every_borrow_is_refused() -> None:
    async with Simulator(port=None, inventory_critical="5") as sim:
        sim.set_inventory("BTC", "4")
        assert (await Client(sim).borrow("BTC", "0.001")).code == -3045


async def test_interest_is_added_at_the_full_hour() -> None:
    async with Simulator(port=None, interest_rate="0.001") as sim:
        sim.set_debt("main", "USDT", "1000")
        to_the_hour = 3_600 - sim.now_ms() // 1_000 % 3_600
        await asyncio.sleep(to_the_hour - 1)
        assert sim.ledger.debt("main", "USDT") == 1000
        await asyncio.sleep(2)
        assert sim.ledger.debt("main", "USDT") == 1001
        await asyncio.sleep(7_200)
        assert sim.ledger.debt("main", "USDT") == 1003


async def test_continuous_interest_grows_between_a_quote_and_a_repayment() -> None:
    async with Simulator(port=None, interest_rate="0.36", interest="continuous") as sim:
        client = Client(sim)
        sim.set_debt("main", "USDT", "1000")
        await asyncio.sleep(1)
        quoted = sim.ledger.debt("main", "USDT")
        assert Decimal("1000.09") < quoted < Decimal("1000.11")
        await client.repay("USDT", f"{quoted:f}")
        assert 0 < sim.ledger.debt("main", "USDT") < 1


async def test_without_interest_a_debt_stays_as_it_is() -> None:
    async with Simulator(port=None, interest="none") as sim:
        sim.set_debt("main", "USDT", "1000")
        await asyncio.sleep(86_400)
        assert sim.ledger.debt("main", "USDT") == 1000


REFUSED_BORROWS = [
    ("beyond the credit", {"amount": "51"}, -3006),
    ("beyond the stock", {"amount": "49"}, -3045),
    ("below the minimum", {"amount": "0.5"}, -3013),
    ("an asset nobody knows", {"asset": "NOPE"}, -3027),
    ("a pair nobody knows", {"symbol": "NOPEUSDT"}, -3028),
    ("an asset that is not of the pair", {"symbol": "ETHUSDT"}, -3028),
    ("a banned asset", {"asset": "ETH"}, -3012),
]


@pytest.mark.parametrize(("what", "changes", "code"), REFUSED_BORROWS)
async def test_a_borrow_is_refused_for(
    sim: Simulator, client: Client, what: str, changes: dict[str, str], code: int
) -> None:
    sim.set_inventory("BTC", "40")
    sim.set_max_borrowable("main", "BTC", "50")
    sim.set_minimums("BTC", borrow="1")
    sim.set_banned_asset("ETH")
    said = await client.borrow(**({"asset": "BTC", "amount": "2"} | changes))
    assert said.code == code, what
    assert sim.ledger.transactions == []


REFUSED_REPAYMENTS = [
    ("more than is owed", "100.1", -3015, "Repay amount exceeds borrow amount."),
    ("dust left", "99.9999999", -3015, "The unpaid debt is too small after this repayment."),
    ("below the minimum", "0.5", -3016, "Repay amount less than minimum repay amount."),
    ("more than is held", "60", -3041, "Balance is not enough"),
]


@pytest.mark.parametrize(("what", "amount", "code", "message"), REFUSED_REPAYMENTS)
async def test_a_repayment_is_refused_for(
    sim: Simulator, client: Client, what: str, amount: str, code: int, message: str
) -> None:
    sim.set_debt("main", "USDT", "100")
    sim.set_balance("main", "USDT", "50")
    sim.set_minimums("USDT", repay="1")
    said = await client.repay("USDT", amount)
    assert said.json == {"code": code, "msg": message}, what
    assert sim.ledger.debt("main", "USDT") == 100


async def test_credit_comes_back_with_a_repayment(sim: Simulator, client: Client) -> None:
    sim.set_max_borrowable("main", "USDT", "10")
    assert (await client.borrow("USDT", "10")).status == 200
    assert (await client.borrow("USDT", "1")).code == -3006
    assert (await client.repay("USDT", "4")).status == 200
    assert (await client.borrow("USDT", "4")).status == 200


async def test_credit_can_be_set_while_there_is_debt(sim: Simulator, client: Client) -> None:
    sim.set_debt("main", "USDT", "7")
    sim.set_max_borrowable("main", "USDT", "3")
    assert (await client.borrow("USDT", "3.1")).code == -3006
    assert (await client.borrow("USDT", "3")).status == 200


async def test_what_is_borrowed_is_held_until_it_is_repaid(sim: Simulator, client: Client) -> None:
    sim.set_balance("main", "USDT", "1")
    sim.set_debt("main", "USDT", "5")
    await client.borrow("USDT", "2")
    assert (await client.repay("USDT", "3.1")).code == -3041
    assert (await client.repay("USDT", "3")).status == 200
    assert (await client.repay("USDT", "0.1")).code == -3041


async def test_a_banned_asset_can_still_be_repaid(sim: Simulator, client: Client) -> None:
    sim.set_debt("main", "ETH", "5")
    sim.set_banned_asset("ETH")
    assert (await client.repay("ETH", "5")).status == 200


async def test_an_account_can_be_refused_as_such(sim: Simulator, client: Client) -> None:
    sim.set_account_refusal("main", -3014)
    assert (await client.borrow()).json == {
        "code": -3014,
        "msg": "Borrow is banned for this account.",
    }
    sim.set_account_refusal("main", None)
    assert (await client.borrow()).status == 200


async def test_processing_beyond_the_backends_patience_is_answered_1007_and_goes_on() -> None:
    async with Simulator(port=None, processing_ms=12_000) as sim:
        client = Client(sim)
        said = await client.borrow()
        assert (said.status, said.code) == (504, -1007)
        assert sim.ledger.booked() == []
        await asyncio.sleep(3)
        assert len(sim.ledger.booked()) == 1
        assert sim.ledger.arrivals[0].status == 504


async def test_the_same_seed_gives_the_same_run() -> None:
    async def run(seed: int) -> list[object]:
        async with Simulator(port=None, seed=seed) as sim:
            client = Client(sim)
            for amount in ("1", "2", "3"):
                await client.borrow("USDT", amount)
            return [(t.tran_id, t.processing_ms) for t in sim.ledger.booked()]

    assert await run(1) == await run(1)
    assert await run(1) != await run(2)
