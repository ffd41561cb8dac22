"""A journal's callers at work, and what they may expect to find when it is opened again."""

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from scheduler.errors import ConfigurationError, JournalUnavailable
from scheduler.journal.sqlite import SqliteJournal
from scheduler.model import Entry, revised

from .entries import NOW_MS, cancelled, confirmed, new, refused, sent

RETRY_S = 0.02
ARCHIVED_AT_MS = NOW_MS + 2_000


@dataclass
class Memory:
    """What the callers know."""

    acknowledged: dict[str, Entry] = field(default_factory=dict)
    begun: dict[str, Entry] = field(default_factory=dict)
    """The latest change of each key that was handed over."""
    together: dict[str, str] = field(default_factory=dict)
    """The other key of a change that was one update of two."""
    marks: dict[str, set[str | None]] = field(default_factory=dict)
    """What each mark may say: the value acknowledged, and one that was handed over since."""
    failures: int = 0


class Life:
    """Several callers that add entries and move them to their ends, at the same time."""

    def __init__(
        self,
        journal: SqliteJournal,
        seed: int,
        *,
        retries: bool,
        callers: int = 4,
        entries: int = 3,
    ) -> None:
        """`entries` are each caller's, and each has a spare one. `retries`: a caller whose call
        failed reads again and goes on; else all is over then."""
        self.memory = Memory()
        self._callers = callers
        self._entries = entries
        self._journal = journal
        self._random = random.Random(seed)
        self._retries = retries

    async def run(self) -> None:
        """Until all callers are done, or the journal has failed."""
        try:
            async with asyncio.TaskGroup() as group:
                for name in range(self._callers):
                    group.create_task(self._caller(name))
        except* JournalUnavailable:
            assert not self._retries

    async def archive(self) -> None:
        """Moves all that is finished to the archive."""
        while True:
            try:
                await self._journal.archive(NOW_MS + 1_000, at_ms=ARCHIVED_AT_MS)
            except (JournalUnavailable, ConfigurationError) as error:
                await self._failed(error)
            else:
                return

    async def _caller(self, name: int) -> None:
        for number in range(self._entries):
            await asyncio.sleep(self._random.random() / 10)
            entry = await self._add(new(f"{name}-{number}"))
            spare = await self._add(new(f"{name}-{number}-spare"))
            entry = await self._update(sent(entry, exclusion=entry.key))
            if self._random.random() < 0.5:
                entry = await self._update(refused(entry))
                entry = await self._update(sent(entry, exclusion=entry.key))
            await self._mark(f"account:{name}", str(number))
            await self._update(confirmed(entry, 1 + entry.seq), cancelled(spare))

    async def _add(self, entry: Entry) -> Entry:
        memory = self.memory
        memory.begun[entry.key] = entry
        while True:
            try:
                kept = await self._journal.add(entry)
            except JournalUnavailable as error:
                await self._failed(error)
            else:
                memory.acknowledged[entry.key] = memory.begun[entry.key] = kept
                return kept

    async def _update(self, *entries: Entry) -> Entry:
        memory = self.memory
        for entry in entries:
            memory.begun[entry.key] = entry
            memory.together.pop(entry.key, None)
        if len(entries) == 2:
            memory.together[entries[0].key] = entries[1].key
        while True:
            try:
                if await self._journal.get(entries[0].key) != entries[0]:
                    await self._journal.update(*entries, at_ms=NOW_MS)
            except JournalUnavailable as error:
                await self._failed(error)
            else:
                memory.acknowledged.update({entry.key: entry for entry in entries})
                return entries[0]

    async def _mark(self, scope: str, value: str) -> None:
        self.memory.marks.setdefault(scope, {None}).add(value)
        while True:
            try:
                await self._journal.set_mark(scope, "seen", value)
            except JournalUnavailable as error:
                await self._failed(error)
            else:
                self.memory.marks[scope] = {value}
                return

    async def _failed(self, error: Exception) -> None:
        self.memory.failures += 1
        if not self._retries:
            raise error
        await asyncio.sleep(RETRY_S)


async def broken_promises(
    memory: Memory, journal: SqliteJournal, archive: Mapping[str, int]
) -> list[str]:
    """What is lost, half done or made up in a journal that was opened again; a line each.

    `archive` tells how many changes of each key are in the archive.
    """
    wrong = []
    found: dict[str, Entry | None] = {key: await journal.get(key) for key in memory.begun}
    archived = {key for key, kept in found.items() if kept is not None and _is_archived(kept)}
    for key in archived:
        found[key], kept = memory.begun[key], found[key]
        assert kept is not None
        if (kept.state, kept.tran_id) != (memory.begun[key].state, memory.begun[key].tran_id):
            wrong.append(f"{key} was archived as {_told(kept)}")
        if archive.get(key) != kept.version:
            wrong.append(f"{key} is archived, and {archive.get(key)} of its changes are there")
    for key, kept in found.items():
        acknowledged, begun = memory.acknowledged.get(key), memory.begun[key]
        if kept != acknowledged and (kept is None or revised(kept, seq=begun.seq) != begun):
            wrong.append(f"{key} is {_told(kept)}, and {_told(acknowledged)} was acknowledged")
    for one, other in memory.together.items():
        if (found[one] == memory.begun[one]) != (found[other] == memory.begun[other]):
            wrong.append(f"{one} and {other} were one update, and half of it is there")
    marks = await journal.marks()
    for scope, values in memory.marks.items():
        if (said := marks.get((scope, "seen"))) not in values:
            wrong.append(f"{scope} is marked {said!r}, and one of {values} was written")
    listed = {entry.key for entry in await journal.find(limit=10_000)}
    if listed != {key for key, kept in found.items() if kept is not None} - archived:
        wrong.append(f"{sorted(listed)} are listed")
    return wrong


def _is_archived(entry: Entry) -> bool:
    return any(each.at_ms == ARCHIVED_AT_MS for each in entry.evidence)


def _told(entry: Entry | None) -> str:
    return "missing" if entry is None else f"version {entry.version}, {entry.state}"
