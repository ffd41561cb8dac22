"""Ctrl-C and SIGTERM end a command in one and the same way, without a traceback."""

import asyncio
import signal
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

import typer

Result = TypeVar("Result")


SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def stop_signals() -> Iterator[asyncio.Event]:
    """An event that the first of either signal sets; the second ends the process there and then."""
    stopping, loop = asyncio.Event(), asyncio.get_running_loop()

    def stop(number: int, frame: FrameType | None) -> None:
        for each in SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        loop.call_soon_threadsafe(stopping.set)

    before = {number: signal.signal(number, stop) for number in SIGNALS}
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_until_stopped(main: Coroutine[Any, Any, Result]) -> Result:
    """Runs it to its end. Either signal cancels it: it may catch that and return what it has.

    If it does not, the command exits with 128 plus the signal's number, as shells expect.
    """
    stopped_by = signal.SIGINT

    async def supervised() -> Result:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None

        def terminate(number: int, frame: FrameType | None) -> None:
            nonlocal stopped_by
            stopped_by = signal.SIGTERM
            loop.call_soon_threadsafe(task.cancel)

        # What asyncio does by itself on SIGINT; its own handlers for others are not for Windows.
        before = signal.signal(signal.SIGTERM, terminate)
        try:
            return await main
        finally:
            signal.signal(signal.SIGTERM, before)

    try:
        return asyncio.run(supervised())
    except (KeyboardInterrupt, asyncio.CancelledError):
        typer.echo("stopped", err=True)
        raise typer.Exit(128 + stopped_by) from None
