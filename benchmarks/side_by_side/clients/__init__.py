"""The clients, each as its own users would write it. What one imports is loaded for it alone."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from importlib import import_module
from typing import cast

from ..told import Told
from ..venue import Venue
from ..work import Ask

Borrow = Callable[[Ask], Awaitable[Told]]
"""Asks for one borrow, and says what the caller is told of it."""

Ready = Callable[[Venue], AbstractAsyncContextManager[Borrow]]
"""A client that is set up and has nothing to do but borrow: only from here on its time counts."""

CLIENTS = {
    "embedded": "margin-scheduler, embedded",
    "sidecar": "margin-scheduler, sidecar",
    "plain_loop": "plain serial loop",
    "ccxt": "ccxt, its limiter",
    "ccxt_retries": "ccxt, maxRetriesOnFailure",
    "official_sdk": "official SDK",
    "python_binance": "python-binance",
    "recipe": "lock, gap, AsyncLimiter",
    "tenacity": "tenacity retries",
    "tenacity_lock": "tenacity retries, lock",
    "pyrate": "pyrate-limiter",
}
"""What each is called in a report."""

SETTINGS = {
    "embedded": "as it comes, its journal a SQLite file (`synchronous=FULL`)",
    "sidecar": "the same in another process; the client knows HTTP only, and asks with "
    "`?wait=60` on aiohttp's usual 100 connections",
    "plain_loop": "one signed aiohttp request after the other for each account, and nothing else: "
    "no client of this exchange can be faster, and this one can do nothing when something goes "
    "wrong",
    "ccxt": "its raw call (`sapiPostMarginBorrowRepay`), `enableRateLimit` on, as it comes; a "
    "client an account",
    "ccxt_retries": "the same with `maxRetriesOnFailure` 3",
    "official_sdk": "as it comes: synchronous, so up to 100 threads; its `retries` are for GET and "
    "DELETE only, its timeout is 1 s",
    "python_binance": "`AsyncClient.margin_borrow_repay`, as it comes",
    "recipe": "one at a time for each account, 100 ms apart, `AsyncLimiter(180_000, 60)` and 1,500 "
    "a call",
    "tenacity": "all at once; up to 10 tries of each on -3007, -3045, -1003 and lost connections, "
    "`wait_random_exponential(multiplier=0.1, max=10)`",
    "tenacity_lock": "the same retries, and a lock for each account around each try",
    "pyrate": "its limiter as it comes (a buffer of 50 ms), with the page's two rates: one in "
    "100 ms and 120 a minute",
}
"""How each is used here, for whoever doubts that it is used well."""

_MODULES = {
    "ccxt": "ccxt_client",
    "ccxt_retries": "ccxt_client",
    "tenacity_lock": "tenacity",
}


def client(name: str) -> Ready:
    module = import_module(f"{__name__}.{_MODULES.get(name, name)}")
    return cast("Ready", getattr(module, f"ready_{name}", None) or module.ready)
