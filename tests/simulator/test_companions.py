"""The calls around borrow and repay answer in the documented shapes."""

import asyncio
from typing import Any

import pytest

from scheduler.simulator import Simulator
from scheduler.simulator.endpoints import ENDPOINTS, Security

from .client import LOANS, Client

pytestmark = pytest.mark.anyio

MARGIN = "/sapi/v1/margin"


async def test_max_borrowable_is_the_credit_or_the_stock_whichever_is_less(
    sim: Simulator, client: Client
) -> None:
    sim.set_max_borrowable("main", "BTC", "1.69248805")
    said = await client.get(f"{MARGIN}/maxBorrowable", asset="BTC")
    assert said.json == {"amount": "1.69248805", "borrowLimit": "1000000000"}
    sim.set_inventory("BTC", "0.5")
    assert (await client.get(f"{MARGIN}/maxBorrowable", asset="BTC")).json["amount"] == "0.5"
    isolated = await client.get(f"{MARGIN}/maxBorrowable", asset="BTC", isolatedSymbol="BTCUSDT")
    assert isolated.json["amount"] == "1000000000"


async def test_max_borrowable_can_itself_say_that_there_is_nothing_to_lend(
    sim: Simulator, client: Client
) -> None:
    sim.drain("BTC")
    assert (await client.get(f"{MARGIN}/maxBorrowable", asset="BTC")).code == -3045
    assert (await client.get(f"{MARGIN}/maxBorrowable", asset="NOPE")).code == -3027
    assert (await client.get(f"{MARGIN}/maxBorrowable")).code == -1102
    wrong = await client.get(f"{MARGIN}/maxBorrowable", asset="ETH", isolatedSymbol="BTCUSDT")
    assert wrong.code == -3028


async def test_available_inventory_is_by_margin_type_and_dated_in_seconds(
    sim: Simulator, client: Client
) -> None:
    sim.set_inventory("USDT", "100000000")
    sim.set_inventory("USDT", "5", isolated=True)
    cross = (await client.get(f"{MARGIN}/available-inventory", type="MARGIN")).json
    assert cross["assets"]["USDT"] == "100000000"
    assert cross["updateTime"] == sim.now_ms() // 1_000
    isolated = (await client.get(f"{MARGIN}/available-inventory", type="ISOLATED")).json
    assert isolated["assets"]["USDT"] == "5"
    assert (await client.get(f"{MARGIN}/available-inventory", type="BOTH")).code == -1130
    assert (await client.get(f"{MARGIN}/available-inventory")).code == -1102


async def test_all_assets_tell_what_may_be_borrowed_and_the_minimums(
    sim: Simulator, client: Client
) -> None:
    sim.set_banned_asset("BTC")
    sim.set_minimums("USDT", borrow="0.5", repay="0.1")
    rows = (await client.send(client.raw("GET", f"{MARGIN}/allAssets", ""))).json
    known = {row["assetName"]: row for row in rows}
    assert known["BTC"]["isBorrowable"] is False
    assert known["USDT"]["isBorrowable"] is True
    assert (known["USDT"]["userMinBorrow"], known["USDT"]["userMinRepay"]) == ("0.5", "0.1")


async def test_the_margin_account_tells_debt_in_its_parts(sim: Simulator, client: Client) -> None:
    sim.set_debt("main", "USDT", "100", interest="0.25")
    sim.set_balance("main", "USDT", "150")
    told = (await client.get(f"{MARGIN}/account")).json
    [usdt] = [row for row in told["userAssets"] if row["asset"] == "USDT"]
    assert usdt == {
        "asset": "USDT",
        "borrowed": "100.00000000",
        "free": "150.00000000",
        "interest": "0.25000000",
        "locked": "0",
        "netAsset": "49.75000000",
    }
    assert told["marginLevel"] == "999.00000000"


async def test_the_margin_level_is_what_is_held_over_what_is_owed(sim: Simulator) -> None:
    account = sim.account("poor", collateral={"USDT": "150"})
    client = Client(sim, account)
    sim.set_debt("poor", "USDT", "100")
    assert (await client.get(f"{MARGIN}/account")).json["marginLevel"] == "1.50000000"
    assert (await client.repay("USDT", "100")).status == 200
    assert (await client.get(f"{MARGIN}/account")).json["marginLevel"] == "999.00000000"


async def test_the_isolated_account_is_by_pair(sim: Simulator, client: Client) -> None:
    sim.set_debt("main", "BTC", "2", interest="0.1", symbol="BTCUSDT")
    [pair] = (await client.get(f"{MARGIN}/isolated/account", symbols="BTCUSDT")).json["assets"]
    assert pair["symbol"] == "BTCUSDT"
    assert (pair["baseAsset"]["asset"], pair["quoteAsset"]["asset"]) == ("BTC", "USDT")
    assert (pair["baseAsset"]["borrowed"], pair["baseAsset"]["interest"]) == (
        "2.00000000",
        "0.10000000",
    )
    assert "marginLevel" in pair
    assert len((await client.get(f"{MARGIN}/isolated/account")).json["assets"]) == 1


async def test_the_isolated_account_takes_five_pairs_at_most(client: Client) -> None:
    five = "BTCUSDT,ETHUSDT,BNBUSDT,SOLUSDT,XRPUSDT"
    path = f"{MARGIN}/isolated/account"
    assert len((await client.get(path, symbols=five)).json["assets"]) == 5
    assert (await client.get(path, symbols=five + ",ADAUSDT")).code == -1130
    assert (await client.get(path, symbols="NOPE")).code == -3028


async def test_capital_flow_is_a_second_witness_as_soon_as_something_is_booked() -> None:
    async with Simulator(port=None, record_lag_ms=(9_000, 9_000)) as sim:
        client = Client(sim)
        sim.fail_next("failed_record")
        await client.borrow("USDT", "1")
        tran_id = (await client.borrow("USDT", "2")).tran_id
        isolated_id = (await client.borrow("USDT", "3", symbol="BTCUSDT")).tran_id
        assert await client.records() == []
        [row] = (await client.get(f"{MARGIN}/capital-flow")).json
        assert row == {
            "id": tran_id,
            "tranId": tran_id,
            "timestamp": sim.ledger.transactions[1].started_ms,
            "asset": "USDT",
            "type": "BORROW",
            "amount": "2.00000000",
        }
        [row] = (await client.get(f"{MARGIN}/capital-flow", symbol="BTCUSDT")).json
        assert (row["tranId"], row["symbol"]) == (isolated_id, "BTCUSDT")


async def test_capital_flow_can_be_narrowed_to_7_days_at_most(
    sim: Simulator, client: Client
) -> None:
    ids = [(await client.borrow("USDT", str(n))).tran_id for n in (1, 2, 3)]
    now_ms = sim.now_ms()
    path = f"{MARGIN}/capital-flow"

    async def found(**parameters: Any) -> list[int]:
        return [row["tranId"] for row in (await client.get(path, **parameters)).json]

    assert await found() == ids
    assert await found(limit=2) == ids[:2]
    assert await found(fromId=ids[1]) == ids[1:]
    assert await found(type="REPAY") == []
    assert await found(asset="BTC") == []
    assert await found(startTime=now_ms + 10_000, endTime=now_ms + 20_000) == []
    assert (await client.get(path, startTime=now_ms - 8 * 86_400_000)).code == -3011
    assert (await client.get(path, limit="all")).code == -1100


async def test_interest_shows_in_its_history_hour_by_hour(sim: Simulator, client: Client) -> None:
    sim.set_debt("main", "USDT", "1000")
    sim.set_debt("main", "BTC", "1", symbol="BTCUSDT")
    await asyncio.sleep(3 * 3_600)
    told = (await client.get(f"{MARGIN}/interestHistory", size=2)).json
    assert told["total"] == 3
    assert [row["interest"] for row in told["rows"]] == ["0.01000000", "0.01000000"]
    newest, older = (row["interestAccuredTime"] for row in told["rows"])
    assert newest - older == 3_600_000
    isolated = await client.get(f"{MARGIN}/interestHistory", isolatedSymbol="BTCUSDT")
    assert {row["isolatedSymbol"] for row in isolated.json["rows"]} == {"BTCUSDT"}


async def test_a_key_tells_its_account_and_what_it_may_do(sim: Simulator, client: Client) -> None:
    assert (await client.get("/api/v3/account")).json["uid"] == sim.account("main").uid
    allowed = (await client.get("/sapi/v1/account/apiRestrictions")).json
    assert allowed["enableMargin"] is True
    assert allowed["enableSpotAndMarginTrading"] is True
    assert allowed["enableWithdrawals"] is False


async def test_pairs_carry_the_documented_fields(client: Client) -> None:
    for path in ("allPairs", "isolated/allPairs"):
        rows = (await client.send(client.raw("GET", f"{MARGIN}/{path}", ""))).json
        [btc] = [row for row in rows if row["symbol"] == "BTCUSDT"]
        assert isinstance(btc.pop("id"), int)
        assert btc == {
            "base": "BTC",
            "quote": "USDT",
            "symbol": "BTCUSDT",
            "isMarginTrade": True,
            "isBuyAllowed": True,
            "isSellAllowed": True,
        }


async def test_no_pair_is_listed_twice_or_the_wrong_way_round(client: Client) -> None:
    rows = (await client.get(f"{MARGIN}/allPairs")).json
    sides = [frozenset((row["base"], row["quote"])) for row in rows]
    assert len(sides) == len(set(sides))


async def test_an_asset_that_was_set_is_listed_everywhere(sim: Simulator, client: Client) -> None:
    sim.set_inventory("NEW", "10")
    assert (await client.borrow("NEW", "1", symbol="NEWUSDT")).status == 200
    coins = (await client.get("/sapi/v1/capital/config/getall")).json
    assert "NEW" in {row["coin"] for row in coins}
    symbols = (await client.get("/api/v3/exchangeInfo")).json["symbols"]
    assert "NEWUSDT" in {row["symbol"] for row in symbols}


async def test_a_listen_key_can_be_had(client: Client) -> None:
    said = await client.send(client.raw("POST", f"{MARGIN}/listen-key", ""))
    assert len(said.json["listenKey"]) == 60


@pytest.mark.parametrize("endpoint", ENDPOINTS.values(), ids=lambda e: e.name)
async def test_every_endpoint_answers_and_asks_for_what_it_should(
    sim: Simulator, client: Client, endpoint: Any
) -> None:
    needed = {"asset": "BTC", "type": "MARGIN" if "inventory" in endpoint.path else "BORROW"}
    if endpoint.path == LOANS:
        needed |= {"amount": "1", "isIsolated": "FALSE"}
    said = await client.send(client.signed(endpoint.method, endpoint.path, **needed))
    assert said.status == 200, said.json
    assert sim.ledger.arrivals[-1].weight == endpoint.weight
    unsigned = await client.send(client.raw(endpoint.method, endpoint.path, "asset=BTC"))
    assert (unsigned.status != 200) == (endpoint.security is Security.SIGNED)
