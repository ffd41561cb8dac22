"""What `serve` makes of its process."""

import asyncio
import gc
import sys
from collections.abc import Iterator

import pytest

from scheduler.cli.process import GARBAGE_THRESHOLDS, run, spare_the_collector

NOT_ON_WINDOWS = pytest.mark.skipif(sys.platform == "win32", reason="there is no uvloop for it")


async def _its_loop() -> str:
    return type(asyncio.get_running_loop()).__module__.partition(".")[0]


@NOT_ON_WINDOWS
def test_it_runs_on_uvloop_where_that_is_installed() -> None:
    assert run(_its_loop()) == "uvloop"


def test_it_runs_on_asyncios_own_loop_where_it_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert run(_its_loop()) == "asyncio"


@pytest.fixture
def collector() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


@pytest.mark.usefixtures("collector")
def test_what_is_there_is_not_looked_through_for_garbage_again() -> None:
    class Node:
        pass

    node = Node()
    assert any(each is node for each in gc.get_objects())
    spare_the_collector()
    assert not any(each is node for each in gc.get_objects())
    assert gc.get_threshold() == GARBAGE_THRESHOLDS
    assert gc.isenabled()
