"""Draws the README's pictures of the dashboard from a seeded simulation.

`python -m tests.dashboard.screenshots` takes a minute and a half: the traffic of
`margin-scheduler serve --simulate --demo-traffic`, at the exchange's pace.
"""

import argparse
import asyncio
import contextlib
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, ViewportSize, expect

from scheduler import Limits
from scheduler.cli.traffic import ACCOUNTS, BURSTY, run_traffic

from .browser import PHONE, WIDE, chromium
from .stage import Stage, staged

IMAGES = Path(__file__).parents[2] / "docs" / "images"
WARM_UP_S = 86.0
"""Until an asset has run short for a while, which every so often it does."""
SEED = 0
TALL: ViewportSize = {**WIDE, "height": 1500}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=WARM_UP_S, help="of traffic before them")
    parser.add_argument("--into", type=Path, default=IMAGES)
    given = parser.parse_args()
    given.into.mkdir(parents=True, exist_ok=True)
    with (
        staged("demo", *ACCOUNTS, limits=Limits(), processing_ms=100) as stage,
        chromium() as browser,
    ):
        traffic = asyncio.run_coroutine_threadsafe(
            run_traffic(stage.scheduler, stage.sim, SEED), stage.loop
        )
        page = _opened(browser, stage, viewport=TALL)
        time.sleep(given.seconds)
        _take(page, given.into, "dashboard-light")
        page.emulate_media(color_scheme="dark")
        _take(page, given.into, "dashboard-dark")
        _show_a_life(page)
        _take(page, given.into, "dashboard-submission")
        phone = _opened(browser, stage, viewport=PHONE, device_scale_factor=2, is_mobile=True)
        _take(phone, given.into, "dashboard-phone")
        traffic.cancel()
        with contextlib.suppress(BaseException):
            traffic.result(10)


def _opened(browser: Browser, stage: Stage, **options: Any) -> Page:
    page = browser.new_context(color_scheme="light", **options).new_page()
    page.goto(stage.url)
    page.locator("#window").select_option("60000")
    expect(page.locator("#link-text")).to_have_text("Live")
    return page


def _take(page: Page, folder: Path, name: str) -> None:
    page.wait_for_timeout(1_500)  # for every drawing to have been made
    page.screenshot(path=folder / f"{name}.png")


def _show_a_life(page: Page) -> None:
    """One that was refused several times before it was executed."""
    page.emulate_media(color_scheme="light")
    key = page.evaluate(
        "(account) => [...store.entries.values()].filter((entry) => entry.account === account)"
        ".reduce((most, entry) => (entry.attempts > most.attempts ? entry : most)).key",
        BURSTY,
    )
    page.evaluate("(key) => openLife(key)", key)


if __name__ == "__main__":
    main()
