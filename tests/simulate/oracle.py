"""The judge of a life: what the scheduler said, held against what the exchange's ledger knows."""

import re
from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise

from scheduler import Entry, NotConfirmed, State
from scheduler.simulator import Simulator
from scheduler.simulator.ledger import Transaction

from ..pipes import ARRIVES_WITHIN_S
from .life import FIRST_DEBT, Change, Story

GAP_MS = 100
LIMIT = 180_000
RECV_WINDOW_MS = 5_000
PROCESSING_MAX_MS = 10_000
DECIDED_WITHIN_S = 600.0
"""Waits double up to five minutes, and one more may follow."""
DECIDED_AFTER_BAN_S = 1_800.0
"""A closed address is so for five minutes, and twice as long the next time."""
QUIET_AFTER_429_S = 1.9
"""A `Retry-After` is in whole seconds, and a second is added to it."""

PASSING = {-3007, -3037, -3045}
"""Refusals for the moment: nobody is to hear of them while there is time."""

PRECLUDED = {0, -3012, -3028}
"""What a look before sending can come to."""
UNDESERVED = {-1022, *range(-1131, -1099)}
"""Refusals of a request that is not well made. None here asks for such a thing."""

NOBODY = ""
"""In the place of a key, for what no submission asked for."""

DID_NOT_HAPPEN = {State.REJECTED, State.NOT_EXECUTED, State.EXPIRED, State.CANCELLED}


def violations(story: Story, simulator: Simulator) -> list[str]:
    """Every promise that was broken, in words; none is what should be."""
    caused = _transactions_by_key(story, simulator)
    return [
        *_unknown(caused.pop(NOBODY, [])),
        *_counts(story, caused),
        *_labels(story, caused),
        *_all_decided(story),
        *_soon_decided(story),
        *_unresolved(story, simulator),
        *_answers(story),
        *_order(story),
        *_in_the_air(story),
        *_pace(story),
        *_weight(story, simulator),
        *_words(story, simulator),
        *_amounts(story),
        *_in_time(story),
        *_quiet_when_limited(story, simulator),
        *_debts(story, simulator),
        *_kept(story),
    ]


def _transactions_by_key(story: Story, simulator: Simulator) -> dict[str, list[Transaction]]:
    """What the exchange booked or tried for each submission, told apart by what was sent: no two
    attempts of an account share their timestamp, unless the exchange's clock was set back."""
    sent: dict[tuple[object, ...], list[tuple[float, str]]] = defaultdict(list)
    for change in story.changes:
        entry = change.entry
        if entry.state is State.SENT and entry.attempt is not None:
            what = _sent(entry.account, entry.attempt.timestamp_ms, entry, entry.amount)
            sent[what].append((change.began_s, entry.key))
    caused: dict[str, list[Transaction]] = defaultdict(list)
    for transaction in simulator.ledger.transactions:
        stamp = transaction.request_timestamp_ms
        if stamp is not None:
            what = _sent(transaction.account, stamp, transaction, transaction.amount)
            # After the exchange's clock was set back, one timestamp may be minted a second time.
            before = [each for each in sent[what] if each[0] <= transaction.started_s]
            caused[max(before)[1] if before else NOBODY].append(transaction)
    return caused


def _unknown(transactions: list[Transaction]) -> Iterator[str]:
    for transaction in transactions:
        yield f"{transaction.tran_id} was executed, and no attempt is durable for it"


def _sent(
    account: str, timestamp_ms: int, what: Entry | Transaction, amount: Decimal | None
) -> tuple[object, ...]:
    return account, timestamp_ms, str(what.kind), what.asset, what.symbol, amount


def _counts(story: Story, caused: dict[str, list[Transaction]]) -> Iterator[str]:
    for key, transactions in caused.items():
        booked = [t for t in transactions if t.status != "FAILED"]
        if len(booked) > 1:
            ids = [t.tran_id for t in booked]
            yield f"{key} was executed {len(booked)} times: {ids}"


def _labels(story: Story, caused: dict[str, list[Transaction]]) -> Iterator[str]:
    for entry in story.latest.values():
        booked = [t for t in caused[entry.key] if t.status != "FAILED"]
        tried = [t.tran_id for t in caused[entry.key]]
        if entry.state in DID_NOT_HAPPEN and booked:
            yield f"{entry.key} is {entry.state}, and the ledger has {booked[0].tran_id}"
        if entry.state is State.CONFIRMED and not _is_true(story, entry, tried, booked):
            yield f"{entry.key} is CONFIRMED as {entry.tran_id}, and the ledger has {tried}"
        if entry.state is State.EXPIRED and entry.attempts:
            yield f"{entry.key} is EXPIRED and was attempted"


def _is_true(story: Story, entry: Entry, tried: list[int], booked: list[Transaction]) -> bool:
    """Where replies confirm, a reply's transaction id is the exchange's acknowledgement, even if
    its record then says FAILED; everything else is a transaction that was booked."""
    replies_confirm = story.plan.accounts[entry.account].get("confirm", "reply") == "reply"
    if replies_confirm and any(evidence.source == "reply" for evidence in entry.evidence):
        return entry.tran_id in tried
    return entry.tran_id in [t.tran_id for t in booked]


def _all_decided(story: Story) -> Iterator[str]:
    for number in range(len(story.plan.jobs)):
        key = f"k{number}"
        entry = story.latest.get(key)
        if entry is None and key not in story.refused:
            yield f"{key} was lost"
        elif entry is not None and not entry.is_final:
            yield f"{key} is still {entry.state}"
    for entry in (story.kept or story.latest).values():
        if not (entry.is_final or re.fullmatch(r"k\d+", entry.key)):  # those are told of above
            yield f"{entry.key} is still {entry.state}"


def _soon_decided(story: Story) -> Iterator[str]:
    """Within a bound once the faults are over and it was asked for."""
    began_s: dict[str, float] = {}
    decided_s: dict[str, float] = {}
    for change in story.changes:
        entry = change.entry
        began_s.setdefault(entry.key, story.durable_s.get(entry.key, change.began_s))
        if not entry.is_final:
            decided_s.pop(entry.key, None)
        else:
            decided_s.setdefault(entry.key, change.loop_s)
    was_banned = any(alarm.cause == "address_banned" for alarm in story.alarms)
    bound_s = DECIDED_AFTER_BAN_S if was_banned else DECIDED_WITHIN_S
    for key, at_s in decided_s.items():
        took_s = at_s - max(began_s[key], story.plan.quiet_at_s)
        if took_s > bound_s:
            yield f"{key} was decided {took_s:.0f} s after all faults were over"


def _unresolved(story: Story, simulator: Simulator) -> Iterator[str]:
    """A person is asked only where others use the account, and one of its records may be theirs."""
    shared = {t.account for t in simulator.ledger.transactions if t.origin == "foreign"}
    for entry in _became_unresolved(story):
        why = entry.evidence[-1].detail
        if story.plan.accounts[entry.account]["exclusive"] and entry.account not in shared:
            yield f"{entry.key} was UNRESOLVED and need not be: {why}"
        elif entry.needs_person and not _may_be_theirs(story, simulator, entry):
            yield f"{entry.key} was UNRESOLVED, and nothing that was booked fits it: {why}"


def _may_be_theirs(story: Story, simulator: Simulator, entry: Entry) -> bool:
    assert entry.attempt is not None
    slack_ms = 1_000 + _jumps_ms(story)
    from_ms = entry.attempt.timestamp_ms - slack_ms
    until_ms = entry.attempt.timestamp_ms + RECV_WINDOW_MS + PROCESSING_MAX_MS + slack_ms
    place = entry.account, str(entry.kind), entry.asset, entry.symbol, entry.amount
    return any(
        (t.account, t.kind, t.asset, t.symbol, t.amount) == place
        and t.finished_ms >= from_ms
        and t.started_ms <= until_ms
        for t in simulator.ledger.transactions
    )


def _jumps_ms(story: Story) -> int:
    """How far the exchange's clock is set from what it would say otherwise, at most."""
    jumps = [abs(d.arguments[0]) for d in story.plan.disturbances if d.name == "jump_clock"]
    return max(jumps, default=0)


def _became_unresolved(story: Story) -> Iterator[Entry]:
    seen: set[str] = set()
    for change in story.changes:
        if change.entry.state is State.UNRESOLVED and change.entry.key not in seen:
            seen.add(change.entry.key)
            yield change.entry


def _answers(story: Story) -> Iterator[str]:
    for key, answer in story.answers.items():
        told = answer.entry if isinstance(answer, NotConfirmed) else answer
        is_confirmed = told.state is State.CONFIRMED
        if is_confirmed != (not isinstance(answer, NotConfirmed)) and told.state is not (
            State.CANCELLED
        ):
            yield f"{key}: its caller was told {answer!r}"
        if told.is_final and told.state is not story.latest[key].state and is_confirmed:
            yield f"{key}: its caller was told {told.state}, and it is {story.latest[key].state}"


def _order(story: Story) -> Iterator[str]:
    """First in, first out. A submission whose caller left before it was acknowledged is read back
    from the journal, and is in from then on."""
    began_s: dict[str, float] = {}
    rows: dict[tuple[object, ...], list[Entry]] = defaultdict(list)
    for change in story.changes:
        entry = change.entry
        if entry.state is State.SENT and entry.key not in began_s:
            began_s[entry.key] = change.began_s
            row = (entry.account, entry.asset, entry.symbol, entry.kind, entry.priority)
            rows[row].append(entry)
    for entries in rows.values():
        for earlier, later in pairwise(entries):
            known_s = story.durable_s.get(later.key)
            was_in = known_s is None or known_s < began_s[earlier.key]
            if earlier.seq > later.seq and was_in:
                yield f"{later.key} was submitted before {earlier.key} and sent after it"


def _in_the_air(story: Story) -> Iterator[str]:
    """From SENT until the answer, or where that never came until the fence or the record."""
    # A fence is an instant of the exchange's clock, and some plans set that.
    jumps_ms = _jumps_ms(story)
    slack_ms = 1_000 + jumps_ms if jumps_ms else 0
    free_at: dict[str, tuple[str, int | None]] = {}
    decided: dict[str, Change] = {}
    for change in story.changes:
        entry, attempt = change.entry, change.entry.attempt
        holder, until_ms = free_at.get(entry.account, ("", 0))
        if entry.state is State.SENT:
            last = decided.get(entry.account)
            is_together = last is not None and last.write is not None and last.write == change.write
            if last is not None and change.began_s < last.loop_s and not is_together:
                yield f"{entry.key} was begun before the last outcome was durable"
            if until_ms is None or change.exchange_ms <= until_ms - slack_ms:
                yield f"{entry.key} was sent while {holder} was in the air"
            free_at[entry.account] = entry.key, None
        elif holder == entry.key and entry.state is State.CONFIRMED:
            if until_ms is None:
                decided[entry.account] = change
            del free_at[entry.account]  # its record was found: it cannot happen again
        elif holder == entry.key and until_ms is None:
            assert attempt is not None
            decided[entry.account] = change
            # Reckoned here: the judge takes no rule from whom it judges.
            fence_ms = attempt.timestamp_ms + RECV_WINDOW_MS
            fence_ms = fence_ms if entry.state is State.UNKNOWN else 0
            free_at[entry.account] = entry.key, fence_ms


def _pace(story: Story) -> Iterator[str]:
    last_s: dict[str, float] = {}
    for change in story.changes:
        if change.entry.state is not State.SENT:
            continue
        account = change.entry.account
        apart_ms = (change.began_s - last_s.get(account, -1.0)) * 1000
        if apart_ms < GAP_MS - 2:  # two readings of a clock in whole milliseconds
            yield f"{change.entry.key} was sent {apart_ms:.1f} ms after the one before it"
        last_s[account] = change.began_s


def _weight(story: Story, simulator: Simulator) -> Iterator[str]:
    for account in sorted({a.account for a in simulator.ledger.arrivals if a.account is not None}):
        weight = simulator.ledger.most_weight_in_a_minute(account)
        if weight > LIMIT:
            weight = _foreseeable(story, simulator, account)
        if weight > LIMIT:
            yield f"{account}: {weight} of weight in a minute"


def _foreseeable(story: Story, simulator: Simulator, account: str) -> int:
    """The most weight in a minute of what anybody could reckon with: not of requests that were
    held up for longer than any is taken to be, and, after a restart, in what is a minute by the
    exchange's clock as well, if that was set: nothing else tells a process that starts how long ago
    an earlier one sent."""
    restarts = story.counts["crash"] + story.counts["stopped and started again"]
    is_set = restarts and _jumps_ms(story)
    spent = [
        each
        for each in simulator.ledger.arrivals
        if each.account == account
        and each.budget == "uid"
        and (
            each.request_timestamp_ms is None
            or each.at_ms - each.request_timestamp_ms <= RECV_WINDOW_MS + ARRIVES_WITHIN_S * 1_000
        )
    ]
    return max(
        sum(
            each.weight
            for each in spent
            if 0 <= last.loop_s - each.loop_s < 60
            and (not is_set or last.at_ms - each.at_ms < 60_000)
        )
        for last in spent
    )


def _words(story: Story, simulator: Simulator) -> Iterator[str]:
    """What is passed on as the exchange's refusal is one that the exchange gave."""
    said: dict[tuple[str | None, int | None], set[int | None]] = defaultdict(set)
    for arrival in simulator.ledger.arrivals:
        said[arrival.account, arrival.request_timestamp_ms].add(arrival.code)
    timestamps: dict[str, set[int]] = defaultdict(set)
    for change in story.changes:
        if change.entry.attempt is not None:
            timestamps[change.entry.key].add(change.entry.attempt.timestamp_ms)
    for entry in story.latest.values():
        if entry.code in UNDESERVED:
            yield f"{entry.key} was not well made: {entry.code} {entry.message}"
        is_precluded = entry.state is State.REJECTED and not entry.attempts
        if is_precluded and entry.code not in PRECLUDED:
            yield f"{entry.key} was never sent, and is REJECTED with {entry.code}"
        if is_precluded or entry.code in PRECLUDED:
            continue
        if entry.state is State.REJECTED and entry.code is not None and entry.code != -1003:
            # A request that was refused before it was read has no timestamp in the ledger.
            stamps = {None, *timestamps[entry.key]}
            codes = {c for t in stamps for c in said[entry.account, t]}
            if entry.code not in codes:
                yield f"{entry.key} is REJECTED with {entry.code}; the exchange said {codes}"
            if entry.code in PASSING and (entry.finished_at_ms or 0) < entry.deadline_ms:
                yield f"{entry.key} was given up with {entry.code} before its time was over"


def _amounts(story: Story) -> Iterator[str]:
    """Nothing is sent that was not asked for: exactly that, or less where less will do."""
    for change in story.changes:
        entry = change.entry
        if entry.state is not State.SENT or entry.requested in {"all", "max"}:
            continue
        asked, sent = Decimal(entry.requested), entry.amount
        if sent != asked and not (entry.submission.at_most and sent is not None and sent < asked):
            yield f"{entry.key} asked for {asked}, and {sent} was sent"


def _in_time(story: Story) -> Iterator[str]:
    """No attempt starts once its submission's time is over."""
    slack_ms = 1_000 + _jumps_ms(story)
    for change in story.changes:
        entry = change.entry
        if entry.state is State.SENT and entry.attempt is not None:
            late_ms = entry.attempt.timestamp_ms - entry.deadline_ms
            if late_ms > slack_ms:
                yield f"{entry.key} was sent {late_ms} ms after its time"


def _quiet_when_limited(story: Story, simulator: Simulator) -> Iterator[str]:
    """After a 429 that was heard an account begins nothing for a while. A process that dies may not
    have heard of it, and what was begun before may be on its way for long."""
    if story.counts["crash"]:
        return
    limited_s: dict[str | None, list[float]] = defaultdict(list)
    for arrival in simulator.ledger.arrivals:
        if arrival.status == 429 and arrival.method == "POST":
            limited_s[arrival.account].append(arrival.loop_s)
    quiet_until_s: dict[str, float] = {}
    flying: set[str] = set()
    for change in story.changes:
        entry = change.entry
        if entry.state is State.SENT:
            flying.add(entry.key)
            if change.began_s < quiet_until_s.get(entry.account, 0):
                yield f"{entry.key} was begun at {change.began_s:.3f} s, after 429"
        elif entry.key in flying:
            flying.discard(entry.key)
            heard = [at_s for at_s in limited_s[entry.account] if at_s <= change.loop_s]
            if entry.code == -1003 and heard:
                quiet_until_s[entry.account] = heard[-1] + QUIET_AFTER_429_S


def _debts(story: Story, simulator: Simulator) -> Iterator[str]:
    """What the exchange says is owed is what was owed at first, what the scheduler says it borrowed
    and repaid, what others did, and interest."""
    owed: dict[tuple[str, str, str | None], Decimal] = {
        (account, asset, symbol): Decimal(FIRST_DEBT)
        for account in story.plan.accounts
        for asset in ("USDT", "BTC")
        for symbol in (None, "BTCUSDT")
    }
    failed = {t.tran_id for t in simulator.ledger.transactions if t.status == "FAILED"}
    moves: list[Entry | Transaction] = [
        t for t in simulator.ledger.booked() if t.request_timestamp_ms is None
    ]
    moves += [
        entry
        for entry in story.latest.values()
        if entry.state is State.CONFIRMED and entry.tran_id not in failed
    ]
    for move in moves:
        place = (move.account, move.asset, move.symbol)
        amount = move.amount or Decimal(0)
        owed[place] = owed.get(place, Decimal(0)) + (amount if move.kind == "BORROW" else -amount)
    for charge in simulator._debts.charges:
        owed[charge.account, charge.asset, charge.symbol] += charge.interest
    for place, amount in owed.items():
        if simulator.ledger.debt(*place) != amount:
            yield f"{place}: {simulator.ledger.debt(*place)} is owed, and {amount} adds up"


def _kept(story: Story) -> Iterator[str]:
    """The journal's word is the last."""
    if story.kept is None:
        return
    for key, entry in story.latest.items():
        kept = story.kept.get(key)
        if kept != entry and not (kept is not None and _only_adds(kept, entry)):
            yield f"{key} was {entry.state}, and the journal has {story.kept.get(key)!r}"
    for key in story.refused:
        if key in story.kept:
            yield f"{key} was refused, and the journal has it"


def _only_adds(kept: Entry, told: Entry) -> bool:
    """Whether the journal has the outcome that was told, and besides only what a process wrote of
    it and died before it said so: advice, or a remark."""
    outcome = (told.state, told.tran_id, told.answer, told.attempt, told.finished_at_ms)
    return (
        told.is_final
        and kept.version > told.version
        and (kept.state, kept.tran_id, kept.answer, kept.attempt, kept.finished_at_ms) == outcome
        and kept.evidence[: len(told.evidence)] == told.evidence
    )
