"""SQLite over a `Disk`, behind the part of `sqlite3` that the journal uses.

The module of the standard library cannot take a file system of ours, so these tests run the
journal's own code over another binding. What differs from production: APSW bundles a current SQLite
(production has the one Python was built with), there is no thread, statements are cached by APSW,
and errors are translated here. A checkpoint comes after `checkpoint_pages` instead of 1,000, or no
test would live to see one.
"""

import errno
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from itertools import count
from typing import Any, TypeVar

import apsw

from scheduler.journal.access import lock
from scheduler.journal.archive import archive_path
from scheduler.journal.connection import Value
from scheduler.journal.schema import ARCHIVE_ID

from .disk import Disk, File

T = TypeVar("T")

_ids = count()


class ApswConnection:
    """Implements `scheduler.journal.connection.Connection`."""

    def __init__(
        self, path: str, disk: Disk, *, synchronous: str = "FULL", checkpoint_pages: int = 1_000
    ) -> None:
        self._settings = {
            "PRAGMA synchronous = FULL": f"PRAGMA synchronous = {synchronous}",
            "PRAGMA wal_autocheckpoint = 1000": f"PRAGMA wal_autocheckpoint = {checkpoint_pages}",
        }
        self._vfs = _Vfs(f"disk-{next(_ids)}", disk)
        flags = apsw.SQLITE_OPEN_READWRITE
        self._apsw = translated(lambda: apsw.Connection(path, flags=flags, vfs=self._vfs.vfs_name))

    @property
    def in_transaction(self) -> bool:
        return self._apsw.in_transaction

    def execute(self, sql: str, parameters: Sequence[Value] = (), /) -> "ApswCursor":
        sql = self._settings.get(sql, sql)
        return translated(lambda: ApswCursor(self._apsw, sql, tuple(parameters)))

    def close(self) -> None:
        translated(self._apsw.close)


def archived(path: str, disk: Disk) -> dict[str, int]:
    """How many changes of each key are in the archive of the journal at `path`."""
    archive = archive_path(path)
    if archive not in disk.files:
        return {}

    def connect(path: str) -> ApswConnection:
        return ApswConnection(path, disk)

    locked = lock(archive, connect, create=False, application_id=ARCHIVE_ID)
    with closing(locked) as connection:
        if not connection.execute("SELECT 1 FROM sqlite_schema").fetchall():
            return {}
        counted = "SELECT key, (SELECT count(*) FROM history WHERE seq = entries.seq) FROM entries"
        return dict(connection.execute(counted).fetchall())


class ApswCursor:
    """All rows are read at once: what is to fail does so in `execute`."""

    def __init__(
        self, connection: apsw.Connection, sql: str, parameters: tuple[Value, ...]
    ) -> None:
        self._rows: list[Any] = connection.execute(sql, parameters).fetchall()
        self.rowcount = connection.changes()
        self.lastrowid = connection.last_insert_rowid()

    def fetchone(self) -> Any:
        return self._rows.pop(0) if self._rows else None

    def fetchall(self) -> list[Any]:
        rows, self._rows = self._rows, []
        return rows


def translated(call: Callable[[], T]) -> T:
    """Calls, with APSW's errors turned into those that `sqlite3` would raise."""
    try:
        return call()
    except apsw.Error as error:
        code = getattr(error, "extendedresult", 0)
        match code & 0xFF:
            case apsw.SQLITE_CONSTRAINT | apsw.SQLITE_MISMATCH:
                kind: type[sqlite3.Error] = sqlite3.IntegrityError
            case apsw.SQLITE_CORRUPT | apsw.SQLITE_NOTADB:
                kind = sqlite3.DatabaseError
            case apsw.SQLITE_TOOBIG:
                kind = sqlite3.DataError
            case _:
                kind = sqlite3.OperationalError
        said = kind(str(error))
        said.sqlite_errorcode = code
        raise said from error


class _Vfs(apsw.VFS):
    def __init__(self, name: str, disk: Disk) -> None:
        super().__init__(name, base="")
        self.vfs_name = name
        self._disk = disk
        self._random = 0

    def excepthook(self, *error: Any) -> bool:
        return True  # of closing, where there is nobody to tell

    def xOpen(self, name: Any, flags: list[int]) -> Any:  # noqa: N802
        if isinstance(name, apsw.URIFilename):
            name = name.filename()
        flags[1] = flags[0]
        file = failing(apsw.SQLITE_CANTOPEN, lambda: self._disk.open(name or "temporary"))
        return _VfsFile(self._disk, file)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        failing(apsw.SQLITE_IOERR_DELETE, lambda: self._disk.delete(filename, is_synced=syncdir))

    def xAccess(self, pathname: str, flags: int) -> bool:  # noqa: N802
        return failing(apsw.SQLITE_IOERR_ACCESS, lambda: self._disk.exists(pathname))

    def xFullPathname(self, name: str) -> str:  # noqa: N802
        return name

    def xRandomness(self, numbytes: int) -> bytes:  # noqa: N802
        self._random += 1  # the salts of a WAL: never the same, and the same in every run
        return self._random.to_bytes(numbytes, "big")


class _VfsFile:
    def __init__(self, disk: Disk, file: File) -> None:
        self._disk = disk
        self._file = file

    def excepthook(self, *error: Any) -> bool:
        return True

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802
        return failing(apsw.SQLITE_IOERR_READ, lambda: self._disk.read(self._file, offset, amount))

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        failing(apsw.SQLITE_IOERR_WRITE, lambda: self._disk.write(self._file, offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        failing(apsw.SQLITE_IOERR_TRUNCATE, lambda: self._disk.truncate(self._file, newsize))

    def xSync(self, flags: int) -> None:  # noqa: N802
        failing(apsw.SQLITE_IOERR_FSYNC, lambda: self._disk.sync(self._file))

    def xFileSize(self) -> int:  # noqa: N802
        return failing(apsw.SQLITE_IOERR_FSTAT, lambda: self._disk.size(self._file))

    def xSectorSize(self) -> int:  # noqa: N802
        return 512

    def xDeviceCharacteristics(self) -> int:  # noqa: N802
        return apsw.SQLITE_IOCAP_POWERSAFE_OVERWRITE  # as SQLite takes every Unix disk to be

    def xFileControl(self, op: int, ptr: int) -> bool:  # noqa: N802
        return False

    # One connection, so nobody to lock out.

    def xLock(self, level: int) -> None:  # noqa: N802
        pass

    def xUnlock(self, level: int) -> None:  # noqa: N802
        pass

    def xCheckReservedLock(self) -> bool:  # noqa: N802
        return False

    def xClose(self) -> None:  # noqa: N802
        pass


def failing(code: int, call: Callable[[], T]) -> T:
    """Calls, with an error of the disk told as SQLite's `code`, or as a full disk."""
    try:
        return call()
    except FileNotFoundError:
        raise apsw.exception_for(apsw.SQLITE_IOERR_DELETE_NOENT) from None
    except OSError as error:
        full = error.errno == errno.ENOSPC
        raise apsw.exception_for(apsw.SQLITE_FULL if full else code) from None
