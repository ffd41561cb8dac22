from pathlib import Path

import pytest

from ..postgres import PostgresServer
from .shelves import (
    MemoryShelf,
    PostgresShelf,
    SharedMemoryShelf,
    Shelf,
    SqliteShelf,
    TimedShelf,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a SQLite journal may be made."""
    return tmp_path / "journal.db"


POSTGRES = pytest.param("postgres", marks=pytest.mark.real_time)  # its subject is a socket


@pytest.fixture(params=["memory", "sqlite", "timed", "shared memory", POSTGRES])
def shelf(request: pytest.FixtureRequest, path: Path) -> Shelf:
    """Every journal there is: a test that takes this runs once for each."""
    match request.param:
        case "memory":
            return MemoryShelf()
        case "sqlite":
            return SqliteShelf(path)
        case "timed":
            return TimedShelf()
        case "shared memory":
            return SharedMemoryShelf()
        case "postgres":
            server: PostgresServer = request.getfixturevalue("postgres")
            return PostgresShelf(server.url())
    raise AssertionError(request.param)
