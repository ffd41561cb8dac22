"""Sidecars that share a database, as processes, and the programs that use any of them."""

import asyncio
import json
import os
import random
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp

from ..cli.command import COMMAND, ROOT, environment
from ..cli.configuration import TOKEN

READY_S = 60.0
"""A busy machine takes its time to import everything."""
ANSWER_S = 4.0
"""After this a caller asks another sidecar."""
GIVE_UP_S = 120.0
"""A submission that no sidecar took for so long is a finding."""
TROUBLE = (aiohttp.ClientError, TimeoutError, OSError)

Body = dict[str, Any]


class Host:
    """One sidecar, from its start until it is killed."""

    def __init__(self, name: str, configuration: Path) -> None:
        self.name = name
        self._configuration = configuration
        self._process: Process | None = None
        self.url = ""
        self.is_frozen = False

    @property
    def log(self) -> Path:
        return self._configuration.with_name("events.log")

    async def start(self) -> None:
        """Until it takes submissions."""
        with self.log.open("ab") as errors:
            self._process = process = await asyncio.create_subprocess_exec(
                *(*COMMAND, "serve", "--config", str(self._configuration), "--json"),
                stdout=PIPE,
                stderr=errors,
                cwd=ROOT,
                env=environment(),
            )
        assert process.stdout is not None
        async with asyncio.timeout(READY_S):
            line = await process.stdout.readline()
        assert line, f"{self.name} did not start: {self.log.read_text()[-2000:]}"
        self.url = json.loads(line)["addresses"][0]

    def freeze(self) -> None:
        """As a machine does that stops in its tracks."""
        self._signal(signal.SIGSTOP)
        self.is_frozen = True

    def wake(self) -> None:
        self._signal(signal.SIGCONT)
        self.is_frozen = False

    def drain(self) -> None:
        self._signal(signal.SIGTERM)

    async def kill(self) -> str | None:
        """End it; what is wrong, if it had ended by itself."""
        process = self._process
        assert process is not None
        with suppress(ProcessLookupError):
            process.kill()
        code = await self.ended()
        return None if code == -signal.SIGKILL else f"{self.name} ended by itself with {code}"

    async def ended(self) -> int:
        assert self._process is not None
        return await self._process.wait()

    def findings(self, secrets: list[bytes]) -> list[str]:
        """What its log should not hold."""
        content = self.log.read_bytes()
        found = [f"{self.name} logged a secret" for secret in secrets if secret in content]
        if b"Traceback" in content:
            at = content.index(b"Traceback")
            found.append(f"{self.name} died of a defect: {content[at : at + 3000]!r}")
        return found

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)


def session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        headers={"Authorization": f"Bearer {TOKEN}"},
        timeout=aiohttp.ClientTimeout(total=ANSWER_S),
    )


class Caller:
    """Posts one submission after the other to any of the sidecars, each until it is acknowledged,
    and takes some of them back again."""

    def __init__(
        self,
        name: str,
        http: aiohttp.ClientSession,
        hosts: Callable[[], list[Host]],
        *,
        draw: Callable[[random.Random], Body],
        taken: Callable[[str, Body], None],
        wrong: Callable[[str], None],
        pause_s: float,
    ) -> None:
        """`draw` makes a submission without a key; `taken` hears of each that was acknowledged,
        with the entry as it stood, and `wrong` of what no sidecar should ever answer."""
        self._name = name
        self._http = http
        self._hosts = hosts
        self._draw = draw
        self._taken = taken
        self._wrong = wrong
        self._pause_s = pause_s
        self._rng = random.Random(name)
        self.count = 0

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            self.count += 1
            body = {**self._draw(self._rng), "key": f"{self._name}-{self.count}"}
            await self.submit(body, wait_s=self._rng.choice((0, 0, 0, 2)))
            if self._rng.random() < 0.05:
                await self._take_back(body["key"])
            await asyncio.sleep(self._pause_s)

    async def submit(self, body: Body, wait_s: float = 0) -> Body | None:
        """Under the same key to one sidecar after the other, until one has it."""
        async with asyncio.timeout(GIVE_UP_S):
            while True:
                entry = await self._post(body, wait_s)
                if entry is not None:
                    self._taken(body["key"], entry)
                    return entry
                await asyncio.sleep(0.1)

    async def _post(self, body: Body, wait_s: float) -> Body | None:
        host = self._rng.choice(self._hosts())
        url = f"{host.url}/v1/submissions"
        try:
            async with self._http.post(url, json=body, params={"wait": str(wait_s)}) as reply:
                answer: Body = await reply.json()
        except TROUBLE:
            return None
        if reply.status in {200, 202}:
            return answer
        if reply.status not in {408, 429, 503}:
            self._wrong(f"{body['key']} at {host.name}: {reply.status} {answer}")
        return None

    async def _take_back(self, key: str) -> None:
        host = self._rng.choice(self._hosts())
        try:
            async with self._http.delete(f"{host.url}/v1/submissions/{key}") as reply:
                answer: Body = await reply.json()
        except TROUBLE:
            return
        if reply.status == 200:
            self._taken(key, answer)
        elif reply.status not in {408, 409, 429, 503}:
            self._wrong(f"taking back {key} at {host.name}: {reply.status} {answer}")
