"""The page, put together from its files when it is first asked for.

It holds no data and no secret. Its style and its script stand inside of it, and its policy names
their hashes: a browser runs nothing else, loads nothing from elsewhere, and sends nothing but to
the sidecar itself.
"""

import base64
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from aiohttp import web

from ..problems import SERVER
from ..security import PAGE_PATH

HOME = Path(__file__).parent
SCRIPTS = (
    "format",
    "events",
    "bars",
    "person",
    "store",
    "api",
    "elements",
    "dialogs",
    "overview",
    "accounts",
    "canvas",
    "timeline",
    "charts",
    "life",
    "submissions",
    "live",
    "start",
)
"""In the order in which the browser reads them; each uses what stands before it."""
STYLE_PLACE = "/* the style */"
SCRIPT_PLACE = "/* the script */"


@dataclass(frozen=True, slots=True)
class Page:
    """What a browser is given."""

    body: bytes
    policy: str
    """The value of `Content-Security-Policy`."""


@cache
def page() -> Page:
    """The page as its files say; they are read once a process."""
    style = _read("style.css")
    script = '"use strict";\n' + "\n".join(_read(f"script/{name}.js") for name in SCRIPTS)
    assert "</" not in style, "it would end its own element"
    assert "</script" not in script, "it would end its own element"
    whole = _put(_put(_read("page.html"), STYLE_PLACE, style), SCRIPT_PLACE, script)
    policy = "; ".join(
        (
            "default-src 'none'",
            f"script-src {_hash(script)}",
            f"style-src {_hash(style)}",
            "connect-src 'self'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            # Text never becomes markup by accident: the browser refuses `innerHTML` and its like.
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )
    return Page(whole.encode(), policy)


def routes() -> list[web.RouteDef]:
    """The page's path."""
    return [web.get(PAGE_PATH, _show, allow_head=False)]


async def _show(request: web.Request) -> web.Response:
    made = page()
    headers = {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Security-Policy": made.policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
        "Server": SERVER,
    }
    return web.Response(body=made.body, headers=headers)


def _read(name: str) -> str:
    return (HOME / name).read_text("utf-8")


def _put(text: str, place: str, what: str) -> str:
    assert text.count(place) == 1, place
    return text.replace(place, what)


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
