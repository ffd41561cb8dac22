"""The simulated exchange in a process of its own, over real HTTP, judged by what it says itself."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from scheduler import Account


@dataclass(frozen=True, slots=True)
class ExchangeProcess:
    """A running `margin-scheduler simulate`."""

    base_url: str
    accounts: dict[str, Account]

    def statistics(self) -> dict[str, Any]:
        """The counts and sums of its ledger."""
        statistics: dict[str, Any] = self._ledger("")["statistics"]
        return statistics

    def ledger(self) -> dict[str, Any]:
        """All of it: statistics, transactions, and every request that arrived."""
        return self._ledger("?arrivals")

    def _ledger(self, query: str) -> dict[str, Any]:
        url = f"{self.base_url}/simulator/ledger{query}"
        with urllib.request.urlopen(url, timeout=10) as reply:
            ledger: dict[str, Any] = json.load(reply)
        return ledger

    def control(self, call: str, **arguments: Any) -> None:
        """Call one of the simulator's handles."""
        body = json.dumps({"call": call, **arguments}).encode()
        request = urllib.request.Request(
            f"{self.base_url}/simulator/control",
            data=body,
            headers={"Content-Type": "application/json"},
        )
        urllib.request.urlopen(request, timeout=10).close()


@contextmanager
def exchange_process(*options: str, accounts: tuple[str, ...] = ("main",)) -> Iterator[Any]:
    """Start one, and stop it again. `options` are those of the command."""
    command = [sys.executable, "-m", "scheduler", "simulate", "--json", *options]
    for account in accounts:
        command += ["--account", account]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        yield ExchangeProcess(
            ready["base_url"],
            {
                a["name"]: Account(a["name"], api_key=a["api_key"], secret=a["secret"])
                for a in ready["accounts"]
            },
        )
    finally:
        process.terminate()
        process.communicate(timeout=10)
