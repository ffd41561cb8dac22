"""A page before 200 accounts and 10,000 submissions while more come in, and how it keeps up.

`python -m tests.dashboard.crowd` scrolls, searches and turns pages for a while, and prints how long
the browser's longest tasks were.
"""

import argparse
import asyncio
import contextlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Page, expect

from scheduler.journal.memory import MemoryJournal
from scheduler.model import Attempt, Entry, Kind, Outcome, State, revised

from ..build import attempt, submission
from .browser import WIDE, chromium, watched
from .stage import Stage, staged

ACCOUNTS = tuple(f"desk-{number:03d}" for number in range(200))
SUBMISSIONS = 10_000
SPREAD_MS = 10 * 60_000
"""Over how long the submissions are spread that are there already."""
PER_S = 40
"""Submissions that come in while the page is looked at: each makes some three events."""

OBSERVE = """() => {
    window.long = [];
    new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) window.long.push(Math.round(entry.duration));
    }).observe({ type: "longtask", buffered: true });
    window.events = 0;
    const heard = onEvent;
    onEvent = (event) => { window.events++; heard(event); };
    window.frames = 0;
    const count = () => { window.frames++; requestAnimationFrame(count); };
    requestAnimationFrame(count);
}"""


@dataclass(frozen=True, slots=True)
class Measured:
    """Of one run."""

    seconds: float
    frames: int
    long_tasks_ms: list[int]
    """Those over 50 ms, which is what a browser counts; of the loading, too."""
    events: int
    """Events that the page read meanwhile."""
    nodes: int
    """Elements of the page in the end."""


@contextmanager
def crowded() -> Iterator[Stage]:
    """A sidecar that has all of them."""
    journal = MemoryJournal()
    with staged(*ACCOUNTS, journal=journal) as stage:
        stage.run(_fill(journal, time.time_ns() // 1_000_000))
        yield stage


async def _fill(journal: MemoryJournal, now_ms: int) -> None:
    for number in range(SUBMISSIONS):
        account = ACCOUNTS[number % len(ACCOUNTS)]
        at_ms = now_ms - SPREAD_MS + number * SPREAD_MS // SUBMISSIONS
        asked = submission(
            f"crowd-{number:05d}",
            account=account,
            kind=Kind.REPAY if number % 3 == 0 else Kind.BORROW,
            asset=("USDT", "BTC", "ETH")[number % 3],
            submitted_at_ms=at_ms,
            deadline_ms=at_ms + 300_000,
        )
        kept = await journal.add(Entry(submission=asked))
        await journal.update(_executed(kept, number), at_ms=at_ms + 120)


def _executed(entry: Entry, number: int) -> Entry:
    at_ms = entry.submitted_at_ms + 5
    tried: Attempt = attempt(
        timestamp_ms=at_ms,
        exclusion=entry.account,
        outcome=Outcome.ANSWERED,
        ended_at_ms=at_ms + 60 + number % 90,
    )
    return revised(
        entry,
        version=2,
        state=State.CONFIRMED,
        attempt=tried,
        attempts=1,
        tran_id=5_000_000 + number,
        finished_at_ms=tried.ended_at_ms,
    )


async def trickle(stage: Stage) -> None:
    """Submissions of ever other accounts, until it is cancelled."""
    number = 0
    while True:
        account = ACCOUNTS[number * 7 % len(ACCOUNTS)]
        await stage.scheduler.submit(account, "BORROW", "USDT", str(1 + number % 50))
        number += 1
        await asyncio.sleep(1 / PER_S)


def measured(page: Page, stage: Stage, seconds: float) -> Measured:
    """Uses the page as a person would, for some seconds, while submissions come in."""
    running = asyncio.run_coroutine_threadsafe(trickle(stage), stage.loop)
    try:
        page.evaluate(OBSERVE)
        began = time.monotonic()
        while (lasted := time.monotonic() - began) < seconds:
            page.evaluate("document.getElementById('lanes').scrollTop += 700")
            page.wait_for_timeout(150)
            page.locator("#accounts-filter").fill("desk-1" if int(lasted) % 2 else "")
            page.locator("#submissions-pager button").last.click()
            page.evaluate("window.scrollBy(0, 500 * (Math.random() < 0.5 ? -1 : 1))")
            page.wait_for_timeout(150)
        told: dict[str, Any] = json.loads(
            page.evaluate(
                "JSON.stringify({ frames: window.frames, long: window.long, events: window.events,"
                " nodes: document.querySelectorAll('*').length })"
            )
        )
        return Measured(lasted, told["frames"], told["long"], told["events"], told["nodes"])
    finally:
        running.cancel()
        with contextlib.suppress(BaseException):
            running.result(10)


def opened(page: Page, stage: Stage) -> None:
    """Until everything there is was read."""
    page.goto(stage.url)
    expect(page.locator("#accounts-count")).to_have_text("200")
    expect(page.locator("#submissions-rows tr")).to_have_count(25)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=15)
    seconds = parser.parse_args().seconds
    with crowded() as stage, chromium() as browser:
        page = browser.new_context(viewport=WIDE).new_page()
        complaints = watched(page)
        opened(page, stage)
        found = measured(page, stage, seconds)
        worst = max(found.long_tasks_ms, default=0)
        print(f"{found.seconds:.1f} s, {found.frames / found.seconds:.0f} frames a second")
        print(f"{len(found.long_tasks_ms)} tasks over 50 ms, the longest {worst} ms")
        print(f"{found.events / found.seconds:.0f} events a second")
        print(f"{found.nodes} elements, {len(complaints)} complaints")


if __name__ == "__main__":
    main()
