"""The page as it is handed out: it holds everything, needs nothing, and lets nothing else in."""

import base64
import hashlib
import re

import pytest

from scheduler.sidecar.dashboard import page
from scheduler.sidecar.dashboard.page import HOME, SCRIPTS

from .house import asking, house

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]

TEXT = page().body.decode()
SOURCES = "".join(path.read_text("utf-8") for path in sorted(HOME.rglob("*.js")))


async def test_it_needs_no_token_and_names_what_it_runs() -> None:
    async with house() as at, asking(at.address, token=None) as asker:
        answer = await asker.ask("GET", "/")
        assert answer.status == 200
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
        policy = answer.headers["content-security-policy"]
        assert "unsafe" not in policy
        assert policy.startswith("default-src 'none'; ")
        for rule in ("connect-src 'self'", "base-uri 'none'", "form-action 'none'"):
            assert rule in policy
        assert "frame-ancestors 'none'" in policy
        for name in ("script", "style"):
            (content,) = re.findall(rf"<{name}>(.*?)</{name}>", answer.body.decode(), re.DOTALL)
            digest = hashlib.sha256(content.encode()).digest()
            assert f"{name}-src 'sha256-{base64.b64encode(digest).decode()}'" in policy
        assert (await asker.ask("GET", "/v1/accounts")).status == 401


async def test_a_foreign_host_does_not_get_it() -> None:
    async with house() as at, asking(at.address, token=None) as asker:
        assert (await asker.ask("GET", "/", headers={"Host": "evil.example"})).status == 403


async def test_it_is_read_and_nothing_else() -> None:
    async with house() as at, asking(at.address) as asker:
        answer = await asker.ask("POST", "/")
        assert (answer.status, answer.headers["allow"]) == (405, "GET")


def test_it_names_no_other_place() -> None:
    without_namespace = TEXT.replace("http://www.w3.org/2000/svg", "")
    assert not re.findall(r"https?://|//[a-z]+\.|@import|url\(", without_namespace)
    assert not re.findall(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=\"(?!data:)", TEXT)


@pytest.mark.parametrize(
    "way", ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function("]
)
def test_no_text_becomes_markup_or_code(way: str) -> None:
    assert way not in SOURCES


def test_no_handler_or_style_stands_in_the_markup() -> None:
    markup = (HOME / "page.html").read_text("utf-8")
    assert not re.findall(r"\son[a-z]+=|\sstyle=", markup)


def test_every_script_is_part_of_it() -> None:
    assert sorted(SCRIPTS) == sorted(path.stem for path in (HOME / "script").glob("*.js"))
