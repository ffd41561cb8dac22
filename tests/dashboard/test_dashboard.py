"""What a person sees and can do, in a real browser in front of a real sidecar."""

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, expect

from .browser import PHONE, WIDE, watched
from .stage import Stage, staged

pytestmark = pytest.mark.real_time

TOKEN = "canary-token-77ab"
expect.set_options(timeout=20_000)


@pytest.fixture
def stage() -> Iterator[Stage]:
    with staged("main", "spare") as at:
        yield at


def lane(page: Page, account: str) -> Locator:
    return page.locator(f'#accounts-rows tr[data-id="{account}"]')


def row(page: Page, key: str) -> Locator:
    return page.locator(f'#submissions-rows tr[data-id="{key}"]')


def opened(page: Page, stage: Stage) -> Page:
    page.goto(stage.url)
    expect(page.locator("#link-text")).to_have_text("Live")
    return page


def is_calm(page: Page) -> None:
    expect(page.locator("#verdict")).to_have_text("Nothing needs a person")


def confirm(page: Page) -> None:
    page.locator("#ask-yes").click()
    expect(page.locator("#ask")).to_be_hidden()


# Live


def test_a_submission_appears_and_ends_by_itself(page: Page, stage: Stage) -> None:
    opened(page, stage)
    is_calm(page)
    key = stage.submit("main", "BORROW", "USDT", "12.5")
    expect(row(page, key)).to_contain_text("CONFIRMED")
    expect(row(page, key)).to_contain_text("borrow 12.5 USDT")
    bars = page.evaluate("store.bars.get('main').map(({ key, outcome }) => [key, outcome])")
    assert bars == [[key, "done"]]
    expect(page.locator("#lanes-canvas")).to_have_attribute(
        "aria-label", re.compile("^1 attempt of 2 accounts")
    )
    expect(lane(page, "main").locator(".of")).to_have_text("1%")


def test_what_is_in_the_air_ticks_and_a_refusal_is_drawn(page: Page, stage: Stage) -> None:
    opened(page, stage)
    stage.do(lambda: stage.sim.order("main", "BTC", "1", "auto_borrow", occupies_ms=1_500))
    key = stage.submit("main", "BORROW", "USDT", "5")
    expect(row(page, key)).to_contain_text("CONFIRMED")
    outcomes = page.evaluate("store.bars.get('main').map((bar) => bar.outcome)")
    assert outcomes[-1] == "done"
    assert set(outcomes[:-1]) == {"again"}
    before = len(outcomes)
    page.reload()  # the bars come back, out of the list and the histories
    page.wait_for_timeout(300)
    expect(page.locator("#lanes-canvas")).to_have_attribute(
        "aria-label", re.compile(f"^{before} attempts")
    )


def test_queue_holds_and_weight_are_told(page: Page, stage: Stage) -> None:
    stage.run(stage.scheduler.pause("main"))
    stage.submit("main", "REPAY", "USDT", "1", priority="urgent")
    stage.submit("main", "REPAY", "USDT", "1")
    stage.do(lambda: stage.sim.spend_weight("main", 60_000))
    opened(page, stage)
    expect(lane(page, "main")).to_contain_text("1 urgent 1 normal")
    expect(lane(page, "main").locator(".pill")).to_have_text("paused")
    expect(lane(page, "main")).to_contain_text("when resumed")
    expect(page.locator("#cases")).to_contain_text("main is paused and 2 submissions wait")
    page.locator("#accounts-busy").check()
    expect(page.locator("#accounts-rows tr")).to_have_count(1)
    page.locator("#accounts-busy").uncheck()
    page.locator("#accounts-filter").fill("SPA")
    expect(page.locator("#accounts-rows tr")).to_have_count(1)
    expect(lane(page, "spare")).to_be_visible()


def test_text_of_others_is_shown_as_text(page: Page, stage: Stage) -> None:
    opened(page, stage)
    hostile = "<img src=x onerror=document.title='owned'>"
    page.evaluate(
        "(text) => { takeAlarm({ at_ms: 1, account: text, key: text, cause: 'late_record',"
        " message: text }); changed(); }",
        hostile,
    )
    expect(page.locator("#cases .what")).to_contain_text(hostile)
    assert page.locator("main img").count() == 0


# Actions


def test_pause_and_resume(page: Page, stage: Stage) -> None:
    opened(page, stage)
    page.get_by_role("button", name="Pause main").click()
    expect(page.locator("#ask-title")).to_have_text("Pause main?")
    page.get_by_role("button", name="Leave it").click()
    assert not stage.run(stage.scheduler.status("main")).holds
    page.get_by_role("button", name="Pause main").click()
    confirm(page)
    expect(page.locator("#said")).to_have_text("main is paused")
    expect(lane(page, "main").locator(".pill")).to_have_text("paused")
    key = stage.submit("main", "BORROW", "USDT", "1")
    expect(page.locator("#cases")).to_contain_text("main is paused and 1 submission waits")
    page.locator("#cases").get_by_role("button", name="Resume…").click()
    confirm(page)
    is_calm(page)
    expect(row(page, key)).to_contain_text("CONFIRMED")


def test_cancel(page: Page, stage: Stage) -> None:
    stage.run(stage.scheduler.pause("main"))
    key = stage.submit("main", "BORROW", "USDT", "1")
    opened(page, stage)
    row(page, key).get_by_role("button").click()
    page.locator("#life").get_by_role("button", name="Cancel…").click()
    confirm(page)
    expect(page.locator("#life .facts")).to_contain_text("CANCELLED")
    expect(page.locator("#life .steps li")).to_have_count(2)
    assert stage.run(stage.scheduler.get(key)).state == "CANCELLED"


def test_resolve(page: Page, stage: Stage) -> None:
    opened(page, stage)
    key = stage.unresolved()
    expect(page.locator("#verdict")).to_have_text(re.compile(r"^\d things? needs? a person$"))
    assert page.title().startswith("(")
    case = page.locator(f'#cases li[data-id="unresolved|{key}"]')
    expect(case).to_contain_text("it is not known whether a borrow of 3 BTC happened")
    case.get_by_role("button", name="Resolve…").click()
    page.get_by_label("was executed", exact=True).check()
    page.get_by_label("Its transaction id").fill("9100000000999999")
    page.get_by_label("was not executed").check()
    expect(page.get_by_label("Its transaction id")).to_be_hidden()
    page.get_by_label("How you know").fill("looked at the history")
    page.locator("#ask-yes").click()  # too early: it may still be executed
    expect(page.locator("#ask-problem")).to_contain_text("may still be executed")
    page.wait_for_timeout(3_500)
    confirm(page)
    expect(case).to_have_count(0)
    entry = stage.run(stage.scheduler.get(key))
    assert entry.state == "NOT_EXECUTED"
    assert "looked at the history" in entry.evidence[-1].detail


def test_resolve_as_executed_keeps_every_digit(page: Page, stage: Stage) -> None:
    key = stage.unresolved()
    opened(page, stage)
    page.wait_for_timeout(3_500)
    page.locator("#cases").get_by_role("button", name="Resolve…").click()
    page.get_by_label("was executed", exact=True).check()
    page.get_by_label("Its transaction id").fill("8223372036854775805")
    page.get_by_label("How you know").fill("asked the exchange")
    confirm(page)
    assert stage.run(stage.scheduler.get(key)).tran_id == 8_223_372_036_854_775_805


def test_settle_a_debt(page: Page, stage: Stage) -> None:
    stage.do(lambda: stage.sim.set_debt("main", "USDT", "40"))
    opened(page, stage)
    page.get_by_role("button", name="Settle a debt of main").click()
    page.get_by_label("Asset, such as").fill("USDT")
    page.locator("#ask-yes").click()
    expect(page.locator("#said")).to_have_text(
        "The USDT debt of main had stayed and is repaid now.", timeout=60_000
    )
    (booked,) = stage.sim.ledger.booked()
    assert booked.kind == "REPAY"
    assert booked.amount == Decimal(40)


def test_an_alarm_is_put_aside(page: Page, stage: Stage) -> None:
    opened(page, stage)
    page.evaluate(
        "takeAlarm({ at_ms: 1, account: 'main', key: null, cause: 'late_record', message: 'x' });"
        "changed()"
    )
    page.get_by_role("button", name="Mark as seen").click()
    is_calm(page)
    expect(page.locator("#earlier-title")).to_have_text("1 earlier alarm")


# Submissions


def test_searching_and_turning_pages(page: Page, stage: Stage) -> None:
    stage.run(stage.scheduler.pause("spare"))
    keys = [stage.submit("spare", "REPAY", "ETH", str(n + 1)) for n in range(27)]
    other = stage.submit("main", "BORROW", "USDT", "7")
    opened(page, stage)
    rows = page.locator("#submissions-rows tr")
    expect(rows).to_have_count(25)
    page.locator("#submissions-pager").get_by_role("button", name="Next").click()
    expect(rows).to_have_count(3)
    expect(row(page, keys[0])).to_be_visible()
    page.locator("#submissions-pager").get_by_role("button", name="Back").click()
    expect(rows).to_have_count(25)
    page.locator("#by-account").select_option("main")
    expect(rows).to_have_count(1)
    page.get_by_role("button", name="Clear").click()
    expect(rows).to_have_count(25)
    page.get_by_label("Asset", exact=True).fill("usdt")
    page.get_by_role("button", name="Search").click()
    expect(rows).to_have_count(1)
    page.get_by_role("button", name="Clear").click()
    page.locator("#by-state").select_option("CONFIRMED")
    expect(rows).to_have_count(1)
    page.get_by_role("button", name="Clear").click()
    page.get_by_label("Key", exact=True).fill(other)
    page.get_by_label("Key", exact=True).press("Enter")
    expect(rows).to_have_count(1)
    page.get_by_label("Key", exact=True).fill("no-such-key")
    page.get_by_label("Key", exact=True).press("Enter")
    expect(rows).to_have_text(re.compile("no submission has"))


# The connection


def test_the_token_is_asked_for_once_and_never_in_an_address(page: Page) -> None:
    with staged(token=TOKEN) as stage:
        addresses: list[str] = []
        page.on("request", lambda request: addresses.append(request.url))
        page.goto(stage.url)
        expect(page.locator("#token-dialog")).to_be_visible()
        page.locator("#token").fill("wrong")
        page.get_by_role("button", name="Open").click()
        expect(page.locator("#token-problem")).to_have_text(
            "That is not the token of this sidecar."
        )
        page.locator("#token").fill(TOKEN)
        page.locator("#token").press("Enter")
        expect(page.locator("#link-text")).to_have_text("Live")
        is_calm(page)
        page.reload()
        is_calm(page)
        assert not [address for address in addresses if TOKEN in address]
        assert page.evaluate("JSON.stringify(localStorage)").count(TOKEN) == 0
        page.get_by_role("button", name="Forget token").click()
        expect(page.locator("#token-dialog")).to_be_visible()


def test_it_comes_back_by_itself_and_says_when_it_is_old(page: Page, stage: Stage) -> None:
    opened(page, stage)
    is_calm(page)
    stage.stop()
    expect(page.locator("#link-text")).to_have_text("Not connected")
    expect(page.locator("#stale")).to_contain_text("Trying again in")
    expect(page.locator("#verdict")).to_have_text("How things stand is not known")
    assert page.title().startswith("(?)")
    expect(page.locator("#stale")).to_contain_text("old: the sidecar")
    key = stage.submit("main", "BORROW", "USDT", "3")  # while nobody tells of it
    stage.start()
    expect(page.locator("#link-text")).to_have_text("Live")
    expect(page.locator("#stale")).to_be_hidden()
    is_calm(page)
    expect(row(page, key)).to_contain_text("CONFIRMED")
    later = stage.submit("main", "BORROW", "USDT", "4")
    expect(row(page, later)).to_contain_text("CONFIRMED")


# For everybody


def test_everything_can_be_done_by_keyboard(page: Page, stage: Stage) -> None:
    key = stage.submit("main", "BORROW", "USDT", "1")
    opened(page, stage)
    expect(row(page, key)).to_contain_text("CONFIRMED")
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    _tab_to(page, "Pause main")
    page.keyboard.press("Enter")
    expect(page.locator("#ask-no")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#ask")).to_be_hidden()
    expect(page.get_by_role("button", name="Pause main")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(lane(page, "main").locator(".pill")).to_have_text("paused")
    page.locator("#lanes").focus()
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#hint")).to_contain_text("borrow 1 USDT")
    page.keyboard.press("Enter")
    expect(page.locator("#life-title")).to_have_text(key)
    page.keyboard.press("Escape")
    expect(page.locator("#life")).to_be_hidden()


def _tab_to(page: Page, label: str) -> None:
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.getAttribute('aria-label')") == label:
            return
    raise AssertionError(f"{label} is not reached")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(browser: Browser, stage: Stage, scheme: Any) -> None:
    key = stage.unresolved()
    stage.run(stage.scheduler.pause("spare"))
    stage.submit("spare", "REPAY", "USDT", "1", priority="urgent")
    context = browser.new_context(
        viewport=WIDE, color_scheme=scheme, reduced_motion="reduce", bypass_csp=True
    )
    page = context.new_page()
    opened(page, stage)
    expect(page.locator("#cases li")).to_have_count(2)
    expect(row(page, key)).to_be_visible()
    _has_no_violations(page)
    row(page, key).get_by_role("button").click()
    expect(page.locator("#life .steps li").first).to_be_visible()
    _has_no_violations(page)
    page.locator("#life").get_by_role("button", name="Resolve…").click()
    _has_no_violations(page)
    page.set_viewport_size(PHONE)
    page.reload()
    expect(page.locator("#cases li")).to_have_count(2)
    _has_no_violations(page)
    context.close()


def _has_no_violations(page: Page) -> None:
    rules = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}
    found = Axe().run(page, options=rules)
    assert found.violations_count == 0, found.generate_report()


def test_a_phone_shows_one_column(browser: Browser, stage: Stage) -> None:
    stage.submit("main", "BORROW", "USDT", "1")
    context = browser.new_context(viewport=PHONE, has_touch=True, is_mobile=True)
    page = context.new_page()
    complaints = watched(page)
    opened(page, stage)
    is_calm(page)
    expect(page.locator("#submissions-rows tr")).to_have_count(1)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    context.close()
    assert not complaints
