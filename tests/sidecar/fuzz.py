"""schemathesis over the OpenAPI document of a real sidecar, all its checks.

`python -m tests.sidecar.fuzz --cases 1000` makes at least that many cases in all, and ends with 0
only if every answer was one that the document declares, and none was a 5xx but the 503.

What it leaves out: the events, which never end.
"""

import argparse
import asyncio
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from .house import TOKEN, house

HOOKS = Path(__file__).with_name("fuzz_hooks.py")
OPERATIONS = 18
WITHIN_S = 1_200


@contextmanager
def sidecar() -> Iterator[str]:
    """Where one listens, in a thread of its own."""
    listens: list[str] = []
    is_up, loop = threading.Event(), asyncio.new_event_loop()
    is_over = asyncio.Event()

    async def run() -> None:
        async with house("main", "hedge") as at:
            listens.append(at.address)
            is_up.set()
            await is_over.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    try:
        assert is_up.wait(30), "the sidecar did not start"
        yield listens[0]
    finally:
        loop.call_soon_threadsafe(is_over.set)
        thread.join(30)
        loop.close()


def fuzz(cases: int, *, seed: int, phases: str) -> tuple[int, int, str]:
    """The exit code, how many cases there were, and everything it said."""
    with sidecar() as address, TemporaryDirectory() as aside:
        run = subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli", "run", f"{address}/openapi.json"),
                *("-H", f"Authorization: Bearer {TOKEN}", "--checks", "all"),
                *("--exclude-path", "/v1/events", "--phases", phases, "--seed", str(seed)),
                *("-n", str(max(1, cases // OPERATIONS)), "--no-color", "--continue-on-failure"),
                *("--generation-database", "none", "--suppress-health-check", "all"),
            ],
            env={**os.environ, "SCHEMATHESIS_HOOKS": str(HOOKS)},
            capture_output=True,
            text=True,
            cwd=aside,
            timeout=WITHIN_S,
            check=False,
        )
    said = run.stdout + run.stderr
    found = re.search(r"(\d+) generated", said)
    return run.returncode, int(found[1]) if found else 0, said


def main() -> int:
    reader = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    reader.add_argument("--cases", type=int, default=1_000)
    reader.add_argument("--seed", type=int, default=0)
    reader.add_argument("--phases", default="examples,coverage,fuzzing,stateful")
    asked = reader.parse_args()
    status, count, said = fuzz(asked.cases, seed=asked.seed, phases=asked.phases)
    print(said)
    return status if count >= asked.cases else 1


if __name__ == "__main__":
    sys.exit(main())
