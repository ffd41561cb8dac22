"""A burst at one account, against the time its exchange cannot be beaten in.

`python -m benchmarks.burst`: the simulator in a process of its own, over real HTTP; beside ours a
plain loop that signs and sends one request after the other and can do nothing else.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from scheduler import Account, Scheduler
from scheduler.binance import Credentials, borrow_repay_request
from scheduler.model import Attempt
from scheduler.signing import signer
from scheduler.transport import AiohttpTransport
from tests.exchange_process import exchange_process


@dataclass(frozen=True, slots=True)
class Row:
    """One burst. `of_ideal` is its time over the sum of the processing times drawn."""

    client: str
    answers: str
    took_s: float
    ideal_s: float
    of_ideal: float
    booked: int
    refusals: dict[str, int]


async def ours(base_url: str, account: Account, count: int, journal: str) -> None:
    async with Scheduler([account], base_url=base_url, journal=journal) as scheduler:
        calls = (scheduler.borrow(account.name, "USDT", "10") for _ in range(count))
        await asyncio.gather(*calls)


async def plain_loop(base_url: str, account: Account, count: int) -> None:
    transport = AiohttpTransport(base_url)
    credentials = Credentials(api_key=account.api_key, signer=signer(account.secret))
    try:
        for number in range(count):
            now_ms = int(time.time() * 1000)
            body = f"asset=USDT&isIsolated=FALSE&amount=10&type=BORROW&timestamp={now_ms}"
            attempt = Attempt(
                number=number,
                timestamp_ms=now_ms,
                recv_window_ms=5000,
                amount=Decimal(10),
                exclusion=account.name,
                body=body,
            )
            await transport.send(borrow_repay_request(attempt, credentials))
    finally:
        await transport.aclose()


async def measure(
    client: str, answers: str, seed: int, run: Callable[[str, Account], Awaitable[None]]
) -> Row:
    with exchange_process("--seed", str(seed), "--answers", answers) as exchange:
        account = exchange.accounts["main"]
        began = time.perf_counter()
        await run(exchange.base_url, account)
        took_s = time.perf_counter() - began
        await asyncio.sleep(0.5)
        statistics: dict[str, Any] = exchange.statistics()
    ideal_s = statistics["accounts"]["main"]["processing_ms"] / 1000
    return Row(
        client,
        answers,
        round(took_s, 3),
        round(ideal_s, 3),
        round(took_s / ideal_s, 4),
        statistics["booked"],
        statistics["refusals"],
    )


async def rows(options: argparse.Namespace) -> list[Row]:
    async def run_ours(base_url: str, account: Account) -> None:
        await ours(base_url, account, options.requests, options.journal)

    async def run_plain(base_url: str, account: Account) -> None:
        await plain_loop(base_url, account, options.requests)

    return [
        await measure("plain loop", "at_end", options.seed, run_plain),
        await measure("margin-scheduler", "at_end", options.seed, run_ours),
        await measure("margin-scheduler", "at_once", options.seed, run_ours),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.burst",
        description="Fire a burst of borrows at one account of the simulated exchange.",
        epilog="example: python -m benchmarks.burst --requests 100 --seed 3 --json",
    )
    parser.add_argument("--requests", type=int, default=100, help="how many (100)")
    parser.add_argument("--seed", type=int, default=0, help="of the exchange (0)")
    parser.add_argument("--journal", default="memory:", help="the scheduler's journal (memory:)")
    parser.add_argument("--json", action="store_true", help="a line of JSON a burst")
    options = parser.parse_args()
    for row in asyncio.run(rows(options)):
        if options.json:
            print(json.dumps(asdict(row)))
        else:
            print(
                f"{row.client:18} {row.answers:8} {row.of_ideal:7.3f} of the ideal "
                f"({row.took_s:.2f} s of {row.ideal_s:.2f} s), {row.booked} booked, "
                f"refused {row.refusals or 'none'}"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
