"""Where `async def` tests run: in virtual time, unless they are marked `real_time`."""

from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from . import virtual_time
from .postgres import PostgresServer, running


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "real_time: run on a real event loop; for tests whose subject is a socket or a thread.",
    )


@pytest.fixture
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """The loop for a test marked `anyio`: a new one for each test, so that none inherits a clock.

    A module can replace this fixture, to run on a loop of its own making.
    """
    if request.node.get_closest_marker("real_time"):
        return "asyncio", {}
    return virtual_time.BACKEND


@pytest.fixture
def virtual_run() -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """Runs a coroutine on a virtual loop of its own, for tests that need more than one."""
    return virtual_time.run


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A real PostgreSQL server, started once; each of its `url()`s is a journal of its own."""
    with running() as server:
        yield server
