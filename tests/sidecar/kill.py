"""The sidecar dies under load: `python -m tests.sidecar.kill --cycles 200 [--signal TERM]`.

`margin-scheduler serve` as a process, behind its Unix socket, in front of the simulated exchange in
another. Callers post as fast as they are answered, and send again under the same key what was not
answered. The sidecar is killed (`KILL`) or told to stop (`TERM`) at a random moment, and the next
one goes on. In the end every caller asks for its outcomes by key, and they are held against the
exchange's ledger.
"""

import argparse
import asyncio
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from scheduler.journal.sqlite import SqliteJournal

from ..cli.command import COMMAND, ROOT, environment
from ..cli.configuration import TOKEN, configured
from ..exchange_process import ExchangeProcess, exchange_process
from ..kill import ACCOUNTS, EXCHANGE, LIMITS, RECV_WINDOW_MS, Tally, judge

CALLERS = 12
DRAIN_S = 4.0
READY_S = 60.0
"""A busy machine takes its time to import everything."""
OUTCOME_S = 120.0
LIMITED = (
    *("uid_weight_per_minute", "ip_weight_per_minute", "min_gap_ms"),
    *("processing_max_ms", "visibility_max_ms"),
)
ASSETS = ("USDT", "BTC", "ETH", "BNB")


@dataclass(slots=True)
class Story:
    """What the callers and the shell saw."""

    tally: Tally = field(default_factory=Tally)
    exit_codes: list[int] = field(default_factory=list)
    drained_s: list[float] = field(default_factory=list)
    """From SIGTERM to the end, of each process that got one."""
    told: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Each key's entry, as the caller was told in the end."""


@contextmanager
def serving(configuration: Path, story: Story) -> Iterator[subprocess.Popen[str]]:
    """A sidecar that is ready; what it logged is read in the end."""
    log = configuration.parent / "events.log"
    with log.open("a") as errors:
        process = subprocess.Popen(
            [*COMMAND, "serve", "--config", str(configuration), "--json"],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=ROOT,
            env=environment(),
        )
    with process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, f"it did not start: {log.read_text()[-2000:]}"
            assert json.loads(line)["event"] == "ready"
            yield process
        finally:
            process.kill()


@asynccontextmanager
async def session(folder: Path) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(
        "http://localhost",
        connector=aiohttp.UnixConnector(str(folder / "api.sock"), limit=0),
        headers={"Authorization": f"Bearer {TOKEN}"},
        timeout=aiohttp.ClientTimeout(total=20),
    ) as opened:
        yield opened


class Caller:
    """Posts one submission after the other, each until it is acknowledged."""

    def __init__(self, number: int, story: Story) -> None:
        self._rng = random.Random(number)
        self._name = f"c{number}"
        self._story = story
        self._count = 0

    async def run(self, http: aiohttp.ClientSession) -> None:
        while True:
            self._count += 1
            key = f"{self._name}-{self._count}"
            body = {
                "account": self._rng.choice(ACCOUNTS),
                "kind": self._rng.choice(("BORROW", "REPAY")),
                "asset": self._rng.choice(ASSETS),
                "amount": self._rng.choice(("1", "2", "0.5")),
                "key": key,
            }
            await self._until_taken(http, body)
            self._story.tally.acknowledged.add(key)

    async def _until_taken(self, http: aiohttp.ClientSession, body: dict[str, str]) -> None:
        while True:
            if await self._is_taken(http, body):
                return
            await asyncio.sleep(0.05)

    async def _is_taken(self, http: aiohttp.ClientSession, body: dict[str, str]) -> bool:
        try:
            async with http.post("/v1/submissions", json=body) as reply:
                answer = await reply.json()
        except (aiohttp.ClientError, TimeoutError):
            return False
        if reply.status in {200, 202}:
            return True
        if reply.status not in {429, 503}:
            self._story.tally.violations.append(f"{body['key']}: {reply.status} {answer}")
        return False


async def outcome(http: aiohttp.ClientSession, key: str, story: Story) -> None:
    """Ask until it is final."""
    until_s = time.monotonic() + OUTCOME_S
    while time.monotonic() < until_s:
        async with http.get(f"/v1/submissions/{key}", params={"wait": "10"}) as reply:
            entry = await reply.json()
        if reply.status != 200:
            story.tally.violations.append(f"{key} was acknowledged, and now: {reply.status}")
            return
        story.told[key] = entry
        if entry["is_final"]:
            return


async def nothing_open(http: aiohttp.ClientSession) -> None:
    """Wait also for what was taken and whose caller never heard of it."""
    until_s = time.monotonic() + OUTCOME_S
    for state in ("QUEUED", "SENT", "UNKNOWN", "ACCEPTED"):
        while time.monotonic() < until_s:
            query = {"state": state, "limit": "1"}
            async with http.get("/v1/submissions", params=query) as reply:
                open_ones = (await reply.json())["submissions"]
            if not open_ones:
                break
            await asyncio.sleep(0.2)


async def _cycles(
    configuration: Path, cycles: int, seed: int, *, is_killed: bool, show: bool, story: Story
) -> None:
    rng, folder = random.Random(seed), configuration.parent
    async with session(folder) as http:
        callers = [Caller(number, story) for number in range(CALLERS)]
        working = [asyncio.create_task(caller.run(http)) for caller in callers]
        for number in range(cycles):
            with serving(configuration, story) as process:
                await asyncio.sleep(rng.uniform(0.1, 1.5))
                began_s = time.monotonic()
                process.kill() if is_killed else process.terminate()
                await asyncio.to_thread(process.wait, 30)
                story.drained_s.append(time.monotonic() - began_s)
                story.exit_codes.append(process.returncode)
            story.tally.killed += 1
            if show:
                print(f"{number + 1} ended, {len(story.tally.acknowledged)} taken", flush=True)
        for task in working:
            task.cancel()
        await asyncio.wait(working)
        for task in working:
            if not task.cancelled():
                task.result()
        with serving(configuration, story):
            for key in sorted(story.tally.acknowledged):
                await outcome(http, key, story)
            await nothing_open(http)


def run(cycles: int, seed: int, *, is_killed: bool, show: bool = False) -> Story:
    """End that many sidecars, and judge what is left."""
    story = Story()
    with (
        tempfile.TemporaryDirectory() as where,
        exchange_process(*EXCHANGE, accounts=ACCOUNTS) as exchange,
    ):
        folder = Path(where)
        for account in ACCOUNTS:
            for asset in ASSETS:
                exchange.control("set_debt", account=account, asset=asset, amount="1000000")
        configuration = configured(
            folder,
            exchange,
            recv_window_ms=RECV_WINDOW_MS,
            sidecar={"listen": ["unix:api.sock"], "drain_timeout_s": DRAIN_S},
            limits={name: getattr(LIMITS, name) for name in LIMITED},
        )
        asyncio.run(
            _cycles(configuration, cycles, seed, is_killed=is_killed, show=show, story=story)
        )
        asyncio.run(_judge(exchange, folder / "scheduler.db", story))
        _look_for_secrets(folder, exchange, story)
    return story


async def _judge(exchange: ExchangeProcess, path: Path, story: Story) -> None:
    journal = SqliteJournal(str(path))
    await journal.open()
    entries = await journal.find(limit=10**9)
    await journal.aclose()
    await judge(exchange, path, story.tally, entries)
    for entry in entries:
        told = story.told.get(entry.key)
        if told is not None and (told["state"], told["tran_id"]) != (entry.state, entry.tran_id):
            story.tally.violations.append(f"{entry.key}: told {told['state']}, is {entry.state}")


def _look_for_secrets(folder: Path, exchange: ExchangeProcess, story: Story) -> None:
    canaries = [account.secret.encode() for account in exchange.accounts.values()]
    canaries += [TOKEN.encode(), b"signature="]
    for path in (folder / "events.log", folder / "scheduler.db"):
        content = path.read_bytes()
        story.tally.violations += [f"a secret is in {path.name}" for c in canaries if c in content]


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.sidecar.kill",
        description="End a working sidecar again and again, and judge what is left by the ledger.",
        epilog="example: python -m tests.sidecar.kill --cycles 200",
    )
    parser.add_argument("--cycles", type=int, default=20, help="sidecars to end (20)")
    parser.add_argument("--signal", choices=("KILL", "TERM"), default="KILL")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    began_s = time.monotonic()
    story = run(options.cycles, options.seed, is_killed=options.signal == "KILL", show=True)
    tally = story.tally
    for violation in tally.violations[:20]:
        print(violation)
    states = ", ".join(f"{state} {count}" for state, count in sorted(tally.states.items()))
    print(
        f"{tally.killed} ended by {options.signal} in {time.monotonic() - began_s:.0f} s, "
        f"at most {max(story.drained_s):.1f} s each; {len(tally.acknowledged)} acknowledged, "
        f"{tally.cut_off} cut off in the air, {tally.booked} booked; {states}; "
        f"{len(tally.violations)} violations"
    )
    return 1 if tally.violations else 0


if __name__ == "__main__":
    sys.exit(main())
