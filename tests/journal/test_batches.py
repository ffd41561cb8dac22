"""Writes that arrive together are committed together, and each still gets its own answer."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from scheduler.journal.group_commit import BATCH_MAX, GroupCommit, Outcome, Work
from scheduler.journal.protocol import StaleVersion
from scheduler.journal.sqlite import SqliteJournal
from scheduler.journal.verify import verify
from scheduler.model import State

from .entries import NOW_MS, cancelled, new, sent
from .shelves import opened

pytestmark = pytest.mark.anyio


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[list[Outcome]]:
    """The outcomes of every transaction that the test makes."""
    seen: list[list[Outcome]] = []
    original = SqliteJournal.__init__

    def spying(journal: SqliteJournal, *args: object, **options: object) -> None:
        original(journal, *args, **options)  # type: ignore[arg-type]
        commit = journal._store.commit

        def spy(works: Sequence[Work]) -> list[Outcome]:
            outcomes = commit(works)
            seen.append(outcomes)
            return outcomes

        monkeypatch.setattr(journal._store, "commit", spy)

    monkeypatch.setattr(SqliteJournal, "__init__", spying)
    return seen


async def test_what_arrives_while_a_batch_is_committed_is_the_next(
    path: Path, batches: list[list[Outcome]]
) -> None:
    async with opened(path) as journal:
        first = asyncio.ensure_future(journal.add(new("first")))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert [len(batch) for batch in batches] == [1]
        rest = [asyncio.ensure_future(journal.add(new(f"k{n}"))) for n in range(20)]
        await asyncio.gather(first, *rest)
    assert [len(batch) for batch in batches] == [1, 20]


async def test_callers_of_one_turn_share_a_transaction(
    path: Path, batches: list[list[Outcome]]
) -> None:
    async with opened(path) as journal:
        for turn in range(3):
            await asyncio.gather(*(journal.add(new(f"k{turn}-{n}")) for n in range(16)))
    assert [len(batch) for batch in batches] == [16, 16, 16]


async def test_a_batch_is_bounded(path: Path, batches: list[list[Outcome]]) -> None:
    async with opened(path) as journal:
        await asyncio.gather(*(journal.add(new(f"k{n}")) for n in range(BATCH_MAX + 1)))
    assert [len(batch) for batch in batches] == [BATCH_MAX, 1]


async def test_good_and_bad_writes_share_a_transaction(
    path: Path, batches: list[list[Outcome]]
) -> None:
    async with opened(path) as journal:
        kept = await journal.add(new())
        batches.clear()
        await asyncio.gather(
            journal.update(cancelled(kept), at_ms=NOW_MS),
            journal.update(sent(kept), at_ms=NOW_MS),
            journal.add(new("other")),
            return_exceptions=True,
        )
    (batch,) = batches
    assert [type(error) for _, error in batch] == [type(None), StaleVersion, type(None)]


async def test_a_bug_in_a_commit_leaves_nobody_waiting() -> None:
    def broken(works: list[str]) -> "asyncio.Future[list[Outcome]]":
        committed: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()
        committed.set_exception(ZeroDivisionError())
        return committed

    group = GroupCommit(broken)
    writes = [group.write("something") for _ in range(3)]
    results = await asyncio.gather(*writes, return_exceptions=True)
    assert [type(result) for result in results] == [ZeroDivisionError] * 3
    await group.wait_idle()


@pytest.mark.real_time
async def test_many_threads_worth_of_callers_share_transactions_in_real_time(
    path: Path, batches: list[list[Outcome]]
) -> None:
    async with opened(path) as journal:

        async def caller(name: int) -> None:
            for n in range(10):
                entry = await journal.add(new(f"{name}-{n}"))
                await journal.update(cancelled(entry), at_ms=NOW_MS)

        await asyncio.gather(*(caller(name) for name in range(20)))
        assert len(await journal.find(state=State.CANCELLED, limit=1_000)) == 200
    assert max(len(batch) for batch in batches) > 1
    assert verify(str(path)) == []
