"""The clients, each as its own users would write it. What one imports is loaded for it alone."""

from collections.abc import Awaitable, Callable, MutableSequence, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module

from ..told import Told
from ..venue import Venue
from ..work import Ask

Run = Callable[[Venue, Sequence[Ask], MutableSequence[Told | None]], Awaitable[None]]
"""Asks for everything at once and writes what it was told of each in its place, as it is told."""

Prepared = Callable[[Venue], AbstractContextManager[Venue]]
"""What has to run before the time counts; gives the venue to ask at."""

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
    "pyrate": "pyrate-limiter",
}
"""What each is called in a report."""

_MODULES = {"ccxt": "ccxt_client", "ccxt_retries": "ccxt_client"}


def client(name: str) -> tuple[Prepared, Run]:
    module = import_module(f"{__name__}.{_MODULES.get(name, name)}")
    run: Run = getattr(module, f"run_{name}", None) or module.run
    return getattr(module, "prepared", nullcontext), run
