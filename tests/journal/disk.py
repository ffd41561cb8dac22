"""A disk in memory that forgets what was not synced, and whose operations can be made to fail."""

import errno
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

SECTOR = 512


class PowerOff(OSError):
    """There is no power: nothing is done any more."""


def no_power(operation: str, name: str) -> None:
    """The trouble of a disk that is off."""
    raise PowerOff("no power")


def no_trouble(operation: str, name: str) -> None:
    """That of one that works."""


@dataclass(frozen=True, slots=True)
class Written:
    """A change of a file that no sync has followed: from `offset` on, or all from there cut off."""

    offset: int
    data: bytes | None


@dataclass(slots=True)
class File:
    name: str
    content: bytearray = field(default_factory=bytearray)
    """What a reader sees."""
    durable: bytearray = field(default_factory=bytearray)
    """What is left without power."""
    pending: list[Written] = field(default_factory=list)
    is_named: bool = False
    """Whether its directory would still know it."""


class Disk:
    """Files by name.

    `trouble` is asked before each operation, with its name and the file's, and may raise: a
    PowerOff leaves things as they are, any other OSError leaves them as bad as it gets (half a
    write is done; what a failed sync should have made durable never will be, as on Linux).
    """

    def __init__(self, files: Mapping[str, bytes] | None = None) -> None:
        self.files = {name: _settled(name, content) for name, content in (files or {}).items()}
        self.trouble: Callable[[str, str], None] = no_trouble
        self._unsynced_deletions: dict[str, File] = {}

    def open(self, name: str) -> File:
        self.trouble("open", name)
        return self.files.setdefault(name, File(name))

    def read(self, file: File, offset: int, size: int) -> bytes:
        self.trouble("read", file.name)
        return bytes(file.content[offset : offset + size])

    def size(self, file: File) -> int:
        self.trouble("size", file.name)
        return len(file.content)

    def write(self, file: File, offset: int, data: bytes) -> None:
        try:
            self.trouble("write", file.name)
        except PowerOff:
            raise
        except OSError:
            _change(file, Written(offset, data[: len(data) // 2]))
            raise
        _change(file, Written(offset, data))

    def truncate(self, file: File, size: int) -> None:
        self.trouble("truncate", file.name)
        _change(file, Written(size, None))

    def sync(self, file: File) -> None:
        try:
            self.trouble("sync", file.name)
        except PowerOff:
            raise
        except OSError:
            file.pending.clear()
            raise
        for written in file.pending:
            _apply(file.durable, written)
        file.pending.clear()
        if not file.is_named:  # SQLite syncs the directory with the first sync of a file it made
            self._sync_directory()

    def delete(self, name: str, *, is_synced: bool) -> None:
        self.trouble("delete", name)
        if name not in self.files:
            raise FileNotFoundError(errno.ENOENT, name)
        self._unsynced_deletions[name] = self.files.pop(name)
        if is_synced:
            self._sync_directory()

    def exists(self, name: str) -> bool:
        self.trouble("exists", name)
        return name in self.files

    def _sync_directory(self) -> None:
        self._unsynced_deletions.clear()
        for file in self.files.values():
            file.is_named = True

    def after_a_cut(self, keep: "Keep", chance: random.Random) -> "Disk":
        """The disk that is found when the power comes back."""
        found = {}
        for name, file in {**self._unsynced_deletions, **self.files}.items():
            is_there = file.is_named or (keep is not none and chance.random() < 0.5)
            was_deleted = name not in self.files and chance.random() < 0.5
            if is_there and not was_deleted:
                content = bytearray(file.durable)
                for written in keep(file.pending, chance):
                    _apply(content, written)
                found[name] = bytes(content)
        return Disk(found)


# What of the unsynced changes of a file is found after a cut. Each file has its own luck.

Keep = Callable[[list[Written], random.Random], list[Written]]


def none(pending: list[Written], chance: random.Random) -> list[Written]:
    return []


def prefix(pending: list[Written], chance: random.Random) -> list[Written]:
    return pending[: chance.randint(0, len(pending))]


def subset(pending: list[Written], chance: random.Random) -> list[Written]:
    return [written for written in pending if chance.random() < 0.5]


def torn(pending: list[Written], chance: random.Random) -> list[Written]:
    """A subset of sectors: what was one write may be there in part."""
    return [part for written in pending for part in _sectors(written) if chance.random() < 0.7]


KEEPS: tuple[Keep, ...] = (none, prefix, subset, torn)


def _settled(name: str, content: bytes) -> File:
    return File(name, bytearray(content), bytearray(content), is_named=True)


def _change(file: File, written: Written) -> None:
    _apply(file.content, written)
    file.pending.append(written)


def _apply(content: bytearray, written: Written) -> None:
    if written.data is None:
        del content[written.offset :]
        return
    content.extend(bytes(max(0, written.offset - len(content))))
    content[written.offset : written.offset + len(written.data)] = written.data


def _sectors(written: Written) -> list[Written]:
    if written.data is None:
        return [written]
    parts = []
    begin, end = written.offset, written.offset + len(written.data)
    while begin < end:
        until = min(end, (begin // SECTOR + 1) * SECTOR)
        data = written.data[begin - written.offset : until - written.offset]
        parts.append(Written(begin, data))
        begin = until
    return parts
