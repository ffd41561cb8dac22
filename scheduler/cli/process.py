"""What `serve` makes of its process, which is its own alone, for the sake of speed. A program that
embeds the scheduler decides such things for itself."""

import asyncio
import gc
from collections.abc import Callable, Coroutine
from importlib import import_module
from typing import Any, TypeVar

Result = TypeVar("Result")

GARBAGE_THRESHOLDS = (20_000, 20, 20)
"""Python looks for reference cycles after 700 new objects, which is every second request. There are
next to none to be found here, and 20,000 objects are a few megabytes."""


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's, where that is installed; None is asyncio's own."""
    try:
        factory: Callable[[], asyncio.AbstractEventLoop] = import_module("uvloop").new_event_loop
    except ImportError:
        return None
    return factory


def run(main: Coroutine[Any, Any, Result]) -> Result:
    """`asyncio.run`, on the quickest loop there is."""
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(main)


def spare_the_collector() -> None:
    """To be called once everything that stays has been made: it is not looked through again. Before
    that, a quarter of a busy process's time went into looking through it."""
    gc.set_threshold(*GARBAGE_THRESHOLDS)
    gc.collect()
    gc.freeze()
