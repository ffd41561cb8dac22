"""Plays one client against one work: an exchange of its own, a process of its own, a score."""

import asyncio
import json
import os
import sys
import tempfile
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from tests.exchange_process import ExchangeProcess, exchange_process

from .judge import Score, score
from .one import GO, READY
from .told import Says, Told
from .work import Work

READY_S = 600
"""The most that a client may take to set itself up, while many others do."""
SETTLE_S = 1.0
"""After the last word, before the ledger is read: what is being processed gets booked."""
SLACK_S = 60
"""Beyond a work's patience, for a client to close itself."""


class ClientFailed(Exception):
    """A client's process ended without a result: a defect in it, or in how it is used here."""


async def play(
    client: str, work: Work, *, size: int, seed: int, turn: Callable[[], Awaitable[None]]
) -> Score:
    """Sets everything up, waits for its `turn`, and plays. Raises ClientFailed."""
    options = ("--seed", str(seed), *work.exchange)
    async with AsyncExitStack() as stack:
        exchange = await _exchange(stack, options, work)
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        # Not a pipe: nobody reads it while the client plays.
        errors = Path(directory) / "stderr"
        process = await stack.enter_async_context(_process(errors))
        try:
            await _set_up(process, client, work, size, exchange, directory)
            await turn()
            result = await _played(process, exchange, work)
        except (TimeoutError, ConnectionError, _Ended) as error:
            said = await _last_words(process, errors)
            raise ClientFailed(f"{client} at {work.name}: {error!r} {said}") from None
        await asyncio.sleep(SETTLE_S)
        ledger = await asyncio.to_thread(exchange.ledger)
    told = [Told(Says(says), tran_id, code) for says, tran_id, code in result["told"]]
    return score(client, work, told, ledger, took_s=result["took_s"], cpu_s=result["cpu_s"])


class _Ended(Exception):
    """The process ended before it was done."""


async def _exchange(stack: AsyncExitStack, options: tuple[str, ...], work: Work) -> ExchangeProcess:
    """Waits for it in a thread, so that whoever plays meanwhile is attended to."""
    running = exchange_process(*options, accounts=work.accounts)
    exchange: ExchangeProcess = await asyncio.to_thread(running.__enter__)
    stack.push_async_callback(asyncio.to_thread, running.__exit__, None, None, None)
    for asset, amount in work.inventory.items():
        await asyncio.to_thread(exchange.control, "set_inventory", asset=asset, amount=amount)
    return exchange


@asynccontextmanager
async def _process(errors: Path) -> AsyncIterator[Process]:
    descriptor = os.open(errors, os.O_WRONLY | os.O_CREAT)
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks.side_by_side.one"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=descriptor,
        )
    finally:
        os.close(descriptor)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _set_up(
    process: Process,
    client: str,
    work: Work,
    size: int,
    exchange: ExchangeProcess,
    directory: str,
) -> None:
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
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(order).encode() + b"\n")
    async with asyncio.timeout(READY_S):
        if (await process.stdout.readline()).decode().strip() != READY:
            raise _Ended


async def _played(process: Process, exchange: ExchangeProcess, work: Work) -> dict[str, Any]:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(GO.encode() + b"\n")
    refilling = asyncio.create_task(_refill(exchange, work))
    try:
        async with asyncio.timeout(work.patience_s + SLACK_S):
            said = await process.stdout.read()
            if await process.wait():
                raise _Ended
    finally:
        refilling.cancel()
        await asyncio.gather(refilling, return_exceptions=True)
    result: dict[str, Any] = json.loads(said)
    return result


async def _refill(exchange: ExchangeProcess, work: Work) -> None:
    began_s = asyncio.get_running_loop().time()
    for at_s, asset, amount in work.refills:
        await asyncio.sleep(began_s + at_s - asyncio.get_running_loop().time())
        await asyncio.to_thread(exchange.control, "set_inventory", asset=asset, amount=amount)


async def _last_words(process: Process, errors: Path) -> str:
    if process.returncode is None:
        process.kill()
        await process.wait()
    said = await asyncio.to_thread(errors.read_text, "utf-8", "replace")
    return said[-2000:]
