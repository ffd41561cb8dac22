"""One browser for all of these tests, a fresh tab for each, and no complaint in any of them."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from .browser import WIDE, chromium, watched


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Ends before tests of other directories run loops of their own in this thread."""
    with chromium() as running:
        yield running


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport=WIDE, reduced_motion="no-preference")
    tab = context.new_page()
    complaints = watched(tab)
    yield tab
    context.close()
    assert not complaints
