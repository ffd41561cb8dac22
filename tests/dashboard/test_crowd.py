"""Many accounts and submissions: what is shown at once stays small, and nothing is lost sight of.

How quick it is, `python -m tests.dashboard.crowd` tells; a test would measure the machine.
"""

import re

import pytest
from playwright.sync_api import Page, expect

from .crowd import ACCOUNTS, crowded, measured, opened

pytestmark = pytest.mark.real_time

ELEMENTS_MAX = 2_500


def test_a_crowd_is_shown_in_parts(page: Page) -> None:
    with crowded() as stage:
        opened(page, stage)
        expect(page.locator("#accounts-rows tr")).to_have_count(25)
        expect(page.locator("#accounts-pager")).to_contain_text("1 to 25 of 200")
        page.locator("#lanes").scroll_into_view_if_needed()
        # Lanes that are out of sight are not drawn.
        expect(page.locator("#lanes-canvas")).to_have_attribute(
            "aria-label", re.compile("^[0-9,]+ attempts of 22 accounts")
        )
        assert page.evaluate("document.getElementById('lanes-canvas').height") < 500
        found = measured(page, stage, 4)
        assert found.nodes < ELEMENTS_MAX
        page.locator("#accounts-filter").fill(ACCOUNTS[-1])
        expect(page.locator("#accounts-rows tr")).to_have_count(1)
        page.get_by_label("Key", exact=True).fill("crowd-00000")
        page.get_by_label("Key", exact=True).press("Enter")
        expect(page.locator("#submissions-rows tr")).to_have_count(1)
        assert page.evaluate("store.entries.size") <= page.evaluate("ENTRIES_MAX")
