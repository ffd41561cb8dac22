"""Plays one client against one work: an exchange of its own, a process of its own, a score."""

import asyncio
import json
import sys
import tempfile
from typing import Any

from tests.exchange_process import ExchangeProcess, exchange_process

from .judge import Score, score
from .told import Says, Told
from .work import Work

SETTLE_S = 1.0
"""After the last word, before the ledger is read: what is being processed gets booked."""


class ClientFailed(Exception):
    """A client's process ended without a result: a defect in it, or in how it is used here."""


async def play(client: str, work: Work, *, size: int, seed: int) -> Score:
    """Raises ClientFailed."""
    options = ("--seed", str(seed), *work.exchange)
    with (
        exchange_process(*options, accounts=work.accounts) as exchange,
        tempfile.TemporaryDirectory() as directory,
    ):
        for asset, amount in work.inventory.items():
            exchange.control("set_inventory", asset=asset, amount=amount)
        result = await _child(client, work, size, exchange, directory)
        await asyncio.sleep(SETTLE_S)
        ledger = await asyncio.to_thread(exchange.ledger)
    told = [Told(Says(says), tran_id, code) for says, tran_id, code in result["told"]]
    return score(client, work, told, ledger, took_s=result["took_s"], cpu_s=result["cpu_s"])


async def _refill(exchange: ExchangeProcess, work: Work) -> None:
    began_s = asyncio.get_running_loop().time()
    for at_s, asset, amount in work.refills:
        await asyncio.sleep(began_s + at_s - asyncio.get_running_loop().time())
        await asyncio.to_thread(exchange.control, "set_inventory", asset=asset, amount=amount)


async def _child(
    client: str, work: Work, size: int, exchange: ExchangeProcess, directory: str
) -> dict[str, Any]:
    order = {
        "client": client,
        "work": work.name,
        "size": size,
        "base_url": exchange.base_url,
        "directory": directory,
        "accounts": {
            name: {"api_key": account.api_key, "secret": account.secret}
            for name, account in exchange.accounts.items()
        },
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.side_by_side.one",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(order).encode())
    process.stdin.close()
    refilling: asyncio.Task[None] | None = None
    try:
        async with asyncio.timeout(work.patience_s + 60):
            if await process.stdout.readline():
                refilling = asyncio.create_task(_refill(exchange, work))
            out, err = await process.communicate()
    finally:
        if refilling is not None:
            refilling.cancel()
            await asyncio.gather(refilling, return_exceptions=True)
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise ClientFailed(f"{client} at {work.name}: {err.decode()[-2000:]}")
    result: dict[str, Any] = json.loads(out)
    return result
