"""What every journal does: the tests that define `scheduler.journal.Journal`."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest
from msgspec import structs

from scheduler.errors import JournalUnavailable
from scheduler.journal import Journal
from scheduler.journal.lanes import SharedJournal
from scheduler.journal.protocol import AlreadyInAir, HistoryRow, StaleVersion, TranIdClaimed
from scheduler.model import Entry, Kind, Outcome, State, revised

from .entries import (
    NOW_MS,
    accepted,
    cancelled,
    confirmed,
    filled,
    full,
    new,
    refused,
    sent,
    unclaimed,
    unknown,
    unresolved,
)
from .shelves import Shelf

pytestmark = pytest.mark.anyio


@pytest.fixture
async def journal(shelf: Shelf) -> AsyncIterator[Journal]:
    async with opened(shelf) as journal:
        yield journal


@asynccontextmanager
async def opened(shelf: Shelf) -> AsyncIterator[Journal]:
    journal = shelf.journal()
    await journal.open()
    try:
        yield journal
    finally:
        await journal.aclose()


async def write(journal: Journal, entry: Entry, *, at_ms: int = NOW_MS + 10) -> Entry:
    await journal.update(entry, at_ms=at_ms)
    return entry


async def add_confirmed(journal: Journal, key: str, tran_id: int, **changes: Any) -> Entry:
    in_air = await write(journal, sent(await journal.add(new(key, **changes))))
    return await write(journal, confirmed(in_air, tran_id))


async def outcomes(*writes: Awaitable[object]) -> list[str]:
    """What became of writes made at once: `ok`, or the name of the error."""
    results = await asyncio.gather(*writes, return_exceptions=True)
    return ["ok" if not isinstance(r, BaseException) else type(r).__name__ for r in results]


# Adding


async def test_an_added_entry_reads_back_as_it_was(journal: Journal) -> None:
    kept = await journal.add(full())
    assert kept == revised(full(), seq=kept.seq)
    assert await journal.get("full") == kept


async def test_a_key_that_was_never_added_is_none(journal: Journal) -> None:
    assert await journal.get("k") is None


async def test_keys_that_differ_in_case_are_two(journal: Journal) -> None:
    await journal.add(new("k"))
    assert await journal.get("K") is None
    assert (await journal.add(new("K"))).key == "K"


async def test_an_entry_that_has_been_somewhere_cannot_be_added(journal: Journal) -> None:
    with pytest.raises(AssertionError, match="new entry"):
        await journal.add(sent(new()))
    assert await journal.get("k") is None


async def test_adding_twice_keeps_the_first(journal: Journal) -> None:
    first = await journal.add(new(deadline_ms=NOW_MS + 1))
    assert await journal.add(new(deadline_ms=NOW_MS + 2)) == first
    assert await journal.find() == [first]
    assert len(await journal.history("k")) == 1


async def test_a_reused_key_answers_with_the_request_it_belongs_to(journal: Journal) -> None:
    kept = await journal.add(new(requested="1"))
    answered = await journal.add(new(requested="2"))
    assert answered == kept
    assert not answered.submission.asks_the_same(new(requested="2").submission)


async def test_adding_again_answers_with_what_has_become_of_it(journal: Journal) -> None:
    done = await add_confirmed(journal, "k", 7)
    assert await journal.add(new()) == done


async def test_the_same_key_added_at_once_is_kept_once(journal: Journal) -> None:
    entries = await asyncio.gather(*(journal.add(new("k")) for _ in range(20)))
    assert len({entry.seq for entry in entries}) == 1
    assert await journal.find() == [entries[0]]


async def test_an_entry_and_its_first_attempt_are_one_write(journal: Journal) -> None:
    entry = new("k")
    kept = await journal.add(entry, sent=sent(entry))
    assert await journal.get("k") == kept
    if isinstance(journal, SharedJournal):  # which keeps the entry alone
        assert kept == Entry(submission=entry.submission, seq=kept.seq)
        kept = await write(journal, sent(kept))
    assert kept == revised(sent(entry), seq=kept.seq)
    assert [row.state for row in await journal.history("k")] == [State.QUEUED, State.SENT]
    (past,) = await journal.attempts_since(kept.account, 0)
    assert past.attempt == kept.attempt
    await write(journal, confirmed(kept, 7))


async def test_a_known_key_gets_no_attempt(journal: Journal) -> None:
    first = await journal.add(new("k"))
    assert await journal.add(new("k"), sent=sent(new("k"))) == first
    assert await journal.get("k") == first
    assert await journal.attempts_since(first.account, 0) == []


async def test_an_entry_is_kept_alone_while_another_attempt_is_in_the_air(
    journal: Journal,
) -> None:
    await write(journal, sent(await journal.add(new("k"))))
    kept = await journal.add(new("l"), sent=sent(new("l")))
    assert kept == await journal.get("l") == Entry(submission=kept.submission, seq=kept.seq)
    assert [row.state for row in await journal.history("l")] == [State.QUEUED]
    assert [past.key for past in await journal.attempts_since(kept.account, 0)] == ["k"]


async def test_later_entries_have_higher_seqs(journal: Journal) -> None:
    one_by_one = [await journal.add(new(f"a{n}")) for n in range(3)]
    at_once = await asyncio.gather(*(journal.add(new(f"b{n}")) for n in range(20)))
    seqs = [entry.seq for entry in [*one_by_one, *at_once]]
    assert seqs == sorted(set(seqs))
    assert seqs[0] >= 1


# Updating


@pytest.mark.parametrize(
    "entry",
    [
        sent(new()),
        confirmed(sent(new()), 7),
        refused(sent(new())),
        unknown(sent(new())),
        accepted(sent(new()), 7),
        unresolved(unknown(sent(new()))),
        filled(sent(full("k"))),
        sent(refused(sent(new())), at_ms=NOW_MS + 7),
        cancelled(new()),
    ],
    ids=lambda entry: entry.state,
)
async def test_an_updated_entry_reads_back_as_it_was(journal: Journal, entry: Entry) -> None:
    kept = await journal.add(Entry(submission=entry.submission))
    for version in range(2, entry.version):
        await journal.update(revised(kept, version=version), at_ms=NOW_MS)
    updated = await write(journal, revised(entry, seq=kept.seq))
    assert await journal.get("k") == updated
    assert await journal.find() == [updated]


def test_no_field_of_an_entry_is_forgotten_here() -> None:
    entry = filled(sent(full()))
    entry = revised(entry, seq=7)  # the journal's own
    assert entry.attempt is not None
    for value in (entry, entry.submission, entry.attempt):
        for each in structs.fields(value):
            assert getattr(value, each.name) != each.default, each.name


@pytest.mark.parametrize("amount", ["1.50", "1.5", "0.00000001", "12345678901234567890.12345678"])
async def test_amounts_keep_every_digit(journal: Journal, amount: str) -> None:
    entry = sent(await journal.add(new(requested=amount)))
    assert entry.attempt is not None
    await write(journal, revised(entry, attempt=revised(entry.attempt, amount=Decimal(amount))))
    kept = await journal.get("k")
    assert kept is not None
    assert kept.attempt is not None
    assert (kept.requested, f"{kept.attempt.amount:f}") == (amount, amount)


@pytest.mark.parametrize("tran_id", [0, 1, 2**31, 2**53 + 1, 2**63 - 1])
async def test_transaction_ids_are_exact(journal: Journal, tran_id: int) -> None:
    done = await add_confirmed(journal, "k", tran_id)
    assert await journal.get("k") == done
    assert await journal.claimed("main", Kind.BORROW, frozenset({tran_id})) == {tran_id: "k"}


async def test_a_stale_version_is_refused(journal: Journal) -> None:
    kept = await journal.add(new())
    in_air = await write(journal, sent(kept))
    with pytest.raises(StaleVersion):
        await write(journal, cancelled(kept))
    assert await journal.get("k") == in_air
    assert len(await journal.history("k")) == 2


@pytest.mark.parametrize(
    "changes", [{"version": 1}, {"version": 3}, {"version": 0}, {"seq": 0}, {"seq": 2}]
)
async def test_only_the_next_version_of_the_kept_entry_is_taken(
    journal: Journal, changes: dict[str, int]
) -> None:
    kept = await journal.add(new())
    await journal.add(new("other"))
    with pytest.raises(StaleVersion):
        await write(journal, revised(cancelled(kept), **changes))
    assert await journal.get("k") == kept


async def test_an_entry_that_was_never_added_cannot_be_updated(journal: Journal) -> None:
    with pytest.raises(StaleVersion):
        await write(journal, sent(revised(new(), seq=1)))
    assert await journal.get("k") is None


async def test_of_two_writers_one_wins(journal: Journal) -> None:
    kept = await journal.add(new())
    results = await outcomes(write(journal, sent(kept)), write(journal, cancelled(kept)))
    assert results == ["ok", "StaleVersion"]
    assert await journal.get("k") == sent(kept)


async def test_of_many_writers_one_wins_each_version(journal: Journal) -> None:
    kept = await journal.add(new())
    results = await outcomes(*(write(journal, cancelled(kept)) for _ in range(20)))
    assert sorted(results) == ["StaleVersion"] * 19 + ["ok"]


async def test_an_update_of_several_writes_all_or_none(journal: Journal) -> None:
    one, other = await journal.add(new("one")), await journal.add(new("other"))
    stale = revised(cancelled(other), version=5)
    for entries in [(cancelled(one), stale), (stale, cancelled(one))]:
        with pytest.raises(StaleVersion):
            await journal.update(*entries, at_ms=NOW_MS)
    assert await journal.find() == [other, one]
    assert await journal.history("one") == [HistoryRow("one", 1, NOW_MS, State.QUEUED, "")]
    await journal.update(cancelled(one), cancelled(other), at_ms=NOW_MS)
    assert [entry.state for entry in await journal.find()] == [State.CANCELLED] * 2


async def test_an_update_of_one_entry_twice_is_a_bug(journal: Journal) -> None:
    kept = await journal.add(new())
    with pytest.raises(AssertionError):
        await journal.update(cancelled(kept), sent(kept), at_ms=NOW_MS)
    assert await journal.get("k") == kept


# Claims


async def test_two_entries_cannot_claim_one_transaction(journal: Journal) -> None:
    await add_confirmed(journal, "first", 7)
    second = await write(journal, sent(await journal.add(new("second"))))
    with pytest.raises(TranIdClaimed) as caught:
        await write(journal, confirmed(second, 7))
    assert (caught.value.tran_id, caught.value.holder) == (7, "first")
    assert await journal.get("second") == second
    assert len(await journal.history("second")) == 2


async def test_of_two_that_claim_at_once_one_wins(journal: Journal) -> None:
    entries = [await journal.add(new(key)) for key in ("one", "other")]
    in_air = [await write(journal, sent(entry, exclusion=entry.key)) for entry in entries]
    results = await outcomes(*(write(journal, confirmed(entry, 7)) for entry in in_air))
    assert results == ["ok", "TranIdClaimed"]
    assert await journal.claimed("main", Kind.BORROW, frozenset({7})) == {7: "one"}


async def test_two_entries_of_one_update_cannot_claim_one_transaction(journal: Journal) -> None:
    entries = [await journal.add(new(key)) for key in ("one", "other")]
    in_air = [await write(journal, sent(entry, exclusion=entry.key)) for entry in entries]
    with pytest.raises(TranIdClaimed):
        await journal.update(*(confirmed(entry, 7) for entry in in_air), at_ms=NOW_MS)
    assert await journal.claimed("main", Kind.BORROW, frozenset({7})) == {}


@pytest.mark.parametrize("changes", [{"account": "other"}, {"kind": Kind.REPAY}])
async def test_accounts_and_kinds_count_transactions_apart(
    journal: Journal, changes: dict[str, Any]
) -> None:
    await add_confirmed(journal, "one", 7)
    assert (await add_confirmed(journal, "other", 7, **changes)).tran_id == 7


async def test_a_claim_can_be_handed_over_in_one_update(journal: Journal) -> None:
    matched = await add_confirmed(journal, "matched", 7)
    answered = await write(journal, sent(await journal.add(new("answered"))))
    for order in (1, -1):
        changes = [confirmed(answered, 7), unclaimed(matched)][::order]
        await journal.update(*changes, at_ms=NOW_MS + 5)
        assert await journal.claimed("main", Kind.BORROW, frozenset({7})) == {7: "answered"}
        answered, matched = unclaimed(confirmed(answered, 7)), confirmed(unclaimed(matched), 7)
        await journal.update(answered, matched, at_ms=NOW_MS + 6)
        assert await journal.claimed("main", Kind.BORROW, frozenset({7})) == {7: "matched"}


async def test_two_entries_can_swap_their_claims_in_one_update(journal: Journal) -> None:
    one, other = await add_confirmed(journal, "one", 1), await add_confirmed(journal, "other", 2)
    swapped = (
        revised(one, tran_id=2, version=one.version + 1),
        revised(other, tran_id=1, version=other.version + 1),
    )
    await journal.update(*swapped, at_ms=NOW_MS)
    assert await journal.claimed("main", Kind.BORROW, frozenset({1, 2})) == {1: "other", 2: "one"}


async def test_a_refused_hand_over_leaves_the_claim_where_it_was(journal: Journal) -> None:
    matched = await add_confirmed(journal, "matched", 7)
    await add_confirmed(journal, "third", 8)
    answered = await write(journal, sent(await journal.add(new("answered"))))
    with pytest.raises(TranIdClaimed):
        await journal.update(unclaimed(matched), confirmed(answered, 8), at_ms=NOW_MS)
    assert await journal.claimed("main", Kind.BORROW, frozenset({7, 8})) == {
        7: "matched",
        8: "third",
    }
    assert await journal.get("matched") == matched


async def test_a_claim_given_up_is_free(journal: Journal) -> None:
    await write(journal, unclaimed(await add_confirmed(journal, "one", 7)))
    assert await journal.claimed("main", Kind.BORROW, frozenset({7})) == {}
    assert (await add_confirmed(journal, "other", 7)).tran_id == 7


async def test_claims_are_told_for_the_ids_asked(journal: Journal) -> None:
    await add_confirmed(journal, "one", 1)
    await add_confirmed(journal, "two", 2)
    in_air = await write(journal, sent(await journal.add(new("three"))))
    await write(journal, accepted(in_air, 3))
    asked = frozenset({1, 3, 4})
    assert await journal.claimed("main", Kind.BORROW, asked) == {1: "one", 3: "three"}
    assert await journal.claimed("other", Kind.BORROW, asked) == {}
    assert await journal.claimed("main", Kind.REPAY, asked) == {}
    assert await journal.claimed("main", Kind.BORROW, frozenset()) == {}


# One in the air


async def test_one_attempt_an_exclusion_is_in_the_air(journal: Journal) -> None:
    one, other = await journal.add(new("one")), await journal.add(new("other"))
    in_air = await write(journal, sent(one))
    with pytest.raises(AlreadyInAir):
        await write(journal, sent(other))
    assert await journal.get("other") == other
    await write(journal, unknown(in_air))
    await write(journal, sent(other))


async def test_of_two_sent_at_once_one_wins(journal: Journal) -> None:
    one, other = await journal.add(new("one")), await journal.add(new("other"))
    results = await outcomes(write(journal, sent(one)), write(journal, sent(other)))
    assert results == ["ok", "AlreadyInAir"]


async def test_two_of_one_update_cannot_both_be_in_the_air(journal: Journal) -> None:
    entries = [await journal.add(new(key)) for key in ("one", "other")]
    with pytest.raises(AlreadyInAir):
        await journal.update(*map(sent, entries), at_ms=NOW_MS)
    assert [entry.state for entry in await journal.unfinished()] == [State.QUEUED] * 2


async def test_exclusions_are_apart(journal: Journal) -> None:
    for key in ("one", "other"):
        await write(journal, sent(await journal.add(new(key)), exclusion=f"main {key}"))
    assert [entry.state for entry in await journal.find()] == [State.SENT] * 2


async def test_the_air_is_handed_over_in_one_update(journal: Journal) -> None:
    in_air = await write(journal, sent(await journal.add(new("one"))))
    waiting = await journal.add(new("other"))
    await journal.update(sent(waiting), unknown(in_air), at_ms=NOW_MS)
    assert [entry.state for entry in await journal.find()] == [State.SENT, State.UNKNOWN]


async def test_a_change_of_the_one_in_the_air_keeps_its_place(journal: Journal) -> None:
    in_air = await write(journal, sent(await journal.add(new("one"))))
    await write(journal, revised(in_air, version=in_air.version + 1, advice="wait"))
    with pytest.raises(AlreadyInAir):
        await write(journal, sent(await journal.add(new("other"))))


# Many at once


async def test_one_bad_write_among_many_fails_alone(journal: Journal) -> None:
    queued = [await journal.add(new(f"k{n}")) for n in range(4)]
    await add_confirmed(journal, "claimed", 7)
    claimant = await write(journal, sent(await journal.add(new("claimant")), exclusion="other"))
    results = await outcomes(
        write(journal, cancelled(queued[0])),
        write(journal, cancelled(queued[0])),
        write(journal, sent(queued[1])),
        write(journal, sent(queued[2])),
        write(journal, confirmed(claimant, 7)),
        journal.set_mark("account:main", "paused", "by hand"),
        journal.update(cancelled(queued[3]), cancelled(queued[0]), at_ms=NOW_MS),
        journal.add(new("late")),
        write(journal, cancelled(queued[3])),
    )
    assert results == [
        "ok",
        "StaleVersion",
        "ok",
        "AlreadyInAir",
        "TranIdClaimed",
        "ok",
        "StaleVersion",
        "ok",
        "ok",
    ]
    states = {entry.key: entry.state for entry in await journal.find()}
    assert states == {
        "k0": State.CANCELLED,
        "k1": State.SENT,
        "k2": State.QUEUED,
        "k3": State.CANCELLED,
        "claimed": State.CONFIRMED,
        "claimant": State.SENT,
        "late": State.QUEUED,
    }


async def test_a_thousand_writes_at_once_are_all_made(journal: Journal) -> None:
    entries = await asyncio.gather(*(journal.add(new(f"k{n}")) for n in range(1_000)))
    await asyncio.gather(*(write(journal, cancelled(entry)) for entry in entries))
    assert await journal.unfinished() == []
    assert len(await journal.find(limit=2_000)) == 1_000


async def test_a_caller_cancelled_while_it_waits_disturbs_nobody(journal: Journal) -> None:
    writes = [asyncio.ensure_future(journal.add(new(f"k{n}"))) for n in range(9)]
    await asyncio.sleep(0)
    for write_ in writes[::2]:
        write_.cancel()
    kept = await asyncio.gather(*writes, return_exceptions=True)
    assert all(isinstance(entry, Entry) for entry in kept[1::2])
    for entry in kept[1::2]:
        assert await journal.get(entry.key) == entry  # type: ignore[union-attr]


async def test_a_write_is_made_though_its_caller_is_cancelled(journal: Journal) -> None:
    first = asyncio.ensure_future(journal.add(new("first")))
    await asyncio.sleep(0.001)  # while its batch is being committed, if there is one
    second = asyncio.ensure_future(journal.add(new("second")))
    await asyncio.sleep(0)
    for write_ in (first, second):
        write_.cancel()
    await journal.add(new("third"))
    assert [entry.key for entry in await journal.find()] == ["third", "second", "first"]


# Reading


async def some(journal: Journal) -> dict[str, Entry]:
    """Six entries of two accounts and two assets, in five states."""
    a = await add_confirmed(journal, "a", 1)
    b = await write(journal, sent(await journal.add(new("b", asset="BTC"))))
    c = await journal.add(new("c", account="other"))
    d = await write(journal, cancelled(await journal.add(new("d", account="other", asset="BTC"))))
    e = await journal.add(new("e"))
    f = await write(journal, sent(await journal.add(new("f", account="other"))))
    f = await write(journal, unknown(f))
    return {entry.key: entry for entry in (a, b, c, d, e, f)}


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, "fedcba"),
        ({"account": "main"}, "eba"),
        ({"account": "other"}, "fdc"),
        ({"account": "nobody"}, ""),
        ({"state": State.QUEUED}, "ec"),
        ({"state": State.UNKNOWN}, "f"),
        ({"state": State.EXPIRED}, ""),
        ({"asset": "BTC"}, "db"),
        ({"account": "other", "asset": "BTC"}, "d"),
        ({"account": "main", "state": State.QUEUED}, "e"),
        ({"account": "main", "state": State.QUEUED, "asset": "BTC"}, ""),
        ({"limit": 2}, "fe"),
        ({"limit": 1, "account": "main"}, "e"),
    ],
    ids=str,
)
async def test_find_lists_what_matches_newest_first(
    journal: Journal, asked: dict[str, Any], expected: str
) -> None:
    entries = await some(journal)
    assert await journal.find(**asked) == [entries[key] for key in expected]


async def test_find_is_paged_by_seq(journal: Journal) -> None:
    await some(journal)
    seen = ""
    before_seq: int | None = None
    while page := await journal.find(limit=4, before_seq=before_seq):
        seen += "".join(entry.key for entry in page)
        before_seq = page[-1].seq
    assert seen == "fedcba"


async def test_a_page_is_not_moved_by_what_is_added_meanwhile(journal: Journal) -> None:
    entries = await some(journal)
    page = await journal.find(account="main", limit=1)
    await journal.add(new("g"))
    rest = await journal.find(account="main", before_seq=page[-1].seq)
    assert rest == [entries["b"], entries["a"]]


async def test_unfinished_are_all_that_are_not_final_in_order(journal: Journal) -> None:
    entries = await some(journal)
    assert await journal.unfinished() == [entries[key] for key in "bcef"]
    unresolved_ = await write(journal, unresolved(entries["f"]))
    back = await write(journal, unclaimed(entries["a"]))
    assert await journal.unfinished() == [
        back,
        entries["b"],
        entries["c"],
        entries["e"],
        unresolved_,
    ]


async def test_history_has_every_change_oldest_first(journal: Journal) -> None:
    entry = await journal.add(new())
    for at_ms, change in enumerate([sent, refused, sent, unknown, unresolved], start=NOW_MS + 1):
        entry = await write(journal, change(entry), at_ms=at_ms)
    assert await journal.history("k") == [
        HistoryRow("k", 1, NOW_MS, State.QUEUED, ""),
        HistoryRow("k", 2, NOW_MS + 1, State.SENT, "attempt 1, amount 1.50"),
        HistoryRow("k", 3, NOW_MS + 2, State.QUEUED, "-3007 You have pending 交易."),
        HistoryRow("k", 4, NOW_MS + 3, State.SENT, "attempt 2, amount 1.50"),
        HistoryRow("k", 5, NOW_MS + 4, State.UNKNOWN, "lost: timeout"),
        HistoryRow("k", 6, NOW_MS + 5, State.UNRESOLVED, "several records fit: 1, 2"),
    ]
    assert await journal.history("other") == []


# Attempts


async def test_every_attempt_is_kept_with_its_submission(journal: Journal) -> None:
    entry = await journal.add(full("k"))
    first = await write(journal, sent(entry, at_ms=NOW_MS + 1))
    back = await write(journal, refused(first, at_ms=NOW_MS + 2))
    second = await write(journal, sent(back, at_ms=NOW_MS + 3))
    pasts = await journal.attempts_since("main", 0)
    assert [past.attempt for past in pasts] == [back.attempt, second.attempt]
    for past in pasts:
        assert (past.key, past.account, past.kind) == ("k", "main", Kind.REPAY)
        assert (past.asset, past.symbol, past.is_urgent) == ("BTC", "BTCUSDT", True)


async def test_an_attempt_that_never_left_is_replaced_by_the_next_of_its_number(
    journal: Journal,
) -> None:
    in_air = await write(journal, sent(await journal.add(new())))
    assert in_air.attempt is not None
    never = revised(in_air.attempt, outcome=Outcome.NEVER_LEFT, ended_at_ms=NOW_MS + 2)
    back = revised(in_air, state=State.QUEUED, version=3, attempt=never, attempts=0)
    await write(journal, back)
    again = await write(journal, sent(back, at_ms=NOW_MS + 9))
    assert [past.attempt for past in await journal.attempts_since("main", 0)] == [again.attempt]
    assert await journal.get("k") == again


@pytest.mark.parametrize(
    ("minted", "ended", "since", "is_told"),
    [
        (100, 200, 50, True),
        (100, 200, 100, True),
        (100, 200, 101, True),
        (100, 200, 200, True),
        (100, 200, 201, False),
        (100, None, 10**9, True),
        (200, 100, 150, True),  # the clock was set back in between
        (200, 100, 201, False),
    ],
)
async def test_attempts_since_tells_what_was_minted_open_or_ended_since(
    journal: Journal, minted: int, ended: int | None, since: int, is_told: bool
) -> None:
    entry = await write(journal, sent(await journal.add(new()), at_ms=NOW_MS + minted))
    if ended is not None:
        await write(journal, unknown(entry, at_ms=NOW_MS + ended))
    told = await journal.attempts_since("main", NOW_MS + since)
    assert [past.key for past in told] == ["k"] * is_told


async def test_attempts_since_is_of_one_account_oldest_first(journal: Journal) -> None:
    for key, account, minted in [
        ("c", "main", 3),
        ("a", "main", 1),
        ("x", "x", 2),
        ("b", "main", 2),
    ]:
        entry = await journal.add(new(key, account=account))
        await write(journal, sent(entry, at_ms=NOW_MS + minted, exclusion=key))
    told = await journal.attempts_since("main", NOW_MS)
    assert [past.key for past in told] == ["a", "b", "c"]


async def test_lost_since_tells_the_lost_attempts_of_all_accounts_oldest_first(
    journal: Journal,
) -> None:
    for key, account, minted, end in [
        ("late", "main", 5, unknown),
        ("early", "other", 1, unknown),
        ("before", "main", 0, unknown),
        ("answered", "main", 3, refused),
        ("in the air", "main", 4, None),
    ]:
        entry = sent(await journal.add(new(key, account=account)), at_ms=NOW_MS + minted)
        entry = await write(journal, entry)
        if end is not None:
            await write(journal, end(entry, at_ms=NOW_MS + 9))
    assert [past.key for past in await journal.lost_since(NOW_MS + 1)] == ["early", "late"]
    assert await journal.lost_since(NOW_MS + 6) == []


async def test_an_attempt_stays_lost_whatever_becomes_of_its_entry(journal: Journal) -> None:
    lost = await write(journal, unknown(await write(journal, sent(await journal.add(new())))))
    back = revised(lost, state=State.QUEUED, version=lost.version + 1)
    await write(journal, back)
    await write(journal, sent(back, at_ms=NOW_MS + 50))
    assert [past.attempt for past in await journal.lost_since(0)] == [lost.attempt]


# Marks


async def test_marks_are_kept_replaced_and_forgotten(journal: Journal) -> None:
    assert await journal.marks() == {}
    await journal.set_mark("account:main", "paused", "by hand")
    await journal.set_mark("account:main", "stopped", "-2015 — 密钥")
    await journal.set_mark("address", "paused", "until 17")
    await journal.set_mark("account:main", "paused", "")
    await journal.set_mark("address", "never set", None)
    assert await journal.marks() == {
        ("account:main", "paused"): "",
        ("account:main", "stopped"): "-2015 — 密钥",
        ("address", "paused"): "until 17",
    }
    await journal.set_mark("account:main", "paused", None)
    assert ("account:main", "paused") not in await journal.marks()


# Dying and coming back


@pytest.fixture
def durable(shelf: Shelf) -> Shelf:
    if not shelf.is_durable:
        pytest.skip("ends with its process")
    return shelf


async def everything(journal: Journal) -> list[object]:
    entries = await journal.find(limit=1_000)
    return [
        entries,
        await journal.unfinished(),
        [await journal.history(entry.key) for entry in entries],
        [await journal.attempts_since(account, 0) for account in ("main", "other")],
        await journal.claimed("main", Kind.BORROW, frozenset(range(10))),
        await journal.marks(),
    ]


async def test_what_was_acknowledged_is_there_after_a_kill(durable: Shelf) -> None:
    journal = durable.journal()
    await journal.open()
    await some(journal)
    await journal.set_mark("account:main", "paused", "by hand")
    before = await everything(journal)
    durable.kill(journal)
    async with opened(durable) as again:
        assert await everything(again) == before
        assert (await again.add(new("later"))).seq > 6


async def test_what_was_acknowledged_is_there_after_closing(durable: Shelf) -> None:
    async with opened(durable) as journal:
        await some(journal)
        before = await everything(journal)
    async with opened(durable) as again:
        assert await everything(again) == before


async def test_what_contradicts_the_past_is_refused_after_a_kill(durable: Shelf) -> None:
    journal = durable.journal()
    await journal.open()
    entries = await some(journal)
    durable.kill(journal)
    async with opened(durable) as again:
        results = await outcomes(
            write(again, cancelled(revised(entries["e"], version=5))),
            write(again, sent(entries["e"])),
            write(again, confirmed(entries["b"], 1)),
        )
        assert results == ["StaleVersion", "AlreadyInAir", "TranIdClaimed"]


async def test_closing_finishes_what_was_begun(durable: Shelf) -> None:
    journal = durable.journal()
    await journal.open()
    writes = [asyncio.ensure_future(journal.add(new(f"k{n}"))) for n in range(50)]
    await asyncio.sleep(0)
    await journal.aclose()
    assert [write_.done() for write_ in writes] == [True] * 50
    async with opened(durable) as again:
        assert len(await again.find()) == 50


async def test_a_closed_journal_is_unavailable(durable: Shelf) -> None:
    async with opened(durable) as journal:
        kept = await journal.add(new())
    results = await outcomes(
        journal.add(new("other")), journal.get("k"), write(journal, sent(kept)), journal.marks()
    )
    assert set(results) == {JournalUnavailable.__name__}


async def test_a_closing_that_was_cut_off_can_be_done_again(durable: Shelf) -> None:
    journal = durable.journal()
    await journal.open()
    adding = asyncio.ensure_future(journal.add(new()))
    await asyncio.sleep(0)
    closing = asyncio.ensure_future(journal.aclose())
    await asyncio.sleep(0)
    closing.cancel()
    await journal.aclose()
    assert adding.done()
    async with opened(durable) as again:
        assert await again.get("k") is not None


async def test_closing_twice_or_before_opening_is_harmless(shelf: Shelf) -> None:
    journal = shelf.journal()
    await journal.aclose()
    async with opened(shelf) as another:
        await another.aclose()
