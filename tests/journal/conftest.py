from pathlib import Path

import pytest

from .shelves import MemoryShelf, Shelf, SqliteShelf, TimedShelf


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a SQLite journal may be made."""
    return tmp_path / "journal.db"


@pytest.fixture(params=["memory", "sqlite", "timed"])
def shelf(request: pytest.FixtureRequest, path: Path) -> Shelf:
    """Every journal there is: a test that takes this runs once for each."""
    match request.param:
        case "memory":
            return MemoryShelf()
        case "sqlite":
            return SqliteShelf(path)
        case "timed":
            return TimedShelf()
    raise AssertionError(request.param)
