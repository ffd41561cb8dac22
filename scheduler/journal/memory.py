"""A journal in memory: the contract without the durability, for tests and for trying things out."""

import bisect

from ..model import FINAL, Entry, Kind, Outcome, State, revised
from .protocol import AlreadyInAir, HistoryRow, PastAttempt, StaleVersion, TranIdClaimed
from .rows import history_detail, minted_ms, past_attempt


class MemoryJournal:
    """Implements `Journal`; everything in it ends with the process."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._in_order: list[Entry] = []
        self._unfinished: dict[str, None] = {}
        # What is read rarely is kept as it came, and made into what is read only then.
        self._attempts: dict[str, dict[tuple[str, int], Entry]] = {}
        self._claims: dict[tuple[str, Kind, int], str] = {}
        self._in_air: dict[str, str] = {}
        self._history: dict[str, list[tuple[int, Entry]]] = {}
        self._marks: dict[tuple[str, str], str] = {}

    async def open(self) -> None:
        """Nothing to open."""

    async def aclose(self) -> None:
        """Nothing to close: what was kept can still be read."""

    async def add(self, entry: Entry, *, sent: Entry | None = None) -> Entry:
        assert entry == Entry(submission=entry.submission), "a new entry has been nowhere yet"
        known = self._entries.get(entry.key)
        if known is not None:
            return known
        kept = revised(entry, seq=len(self._in_order) + 1)
        self._in_order.append(kept)
        self._keep(kept, kept.submitted_at_ms)
        if sent is None:
            return kept
        sent = revised(sent, seq=kept.seq)
        try:
            await self.update(sent, at_ms=minted_ms(sent))
        except AlreadyInAir:
            return kept
        return sent

    async def update(self, *entries: Entry, at_ms: int) -> None:
        for entry in entries:
            self._check_version(entry)
        changing = {entry.key for entry in entries}
        assert len(changing) == len(entries), "an entry changes once in an update"
        self._check_claims(entries, changing)
        self._check_air(entries, changing)
        for entry in entries:
            self._release(self._entries[entry.key])
        for entry in entries:
            self._in_order[entry.seq - 1] = entry
            self._keep(entry, at_ms)

    async def get(self, key: str) -> Entry | None:
        return self._entries.get(key)

    async def find(
        self,
        *,
        account: str | None = None,
        state: State | None = None,
        asset: str | None = None,
        limit: int = 100,
        before_seq: int | None = None,
    ) -> list[Entry]:
        end = len(self._in_order)
        if before_seq is not None:
            end = bisect.bisect_left(self._in_order, before_seq, key=lambda entry: entry.seq)
        found: list[Entry] = []
        for index in range(end - 1, -1, -1):
            entry = self._in_order[index]
            if (
                (account is None or entry.account == account)
                and (state is None or entry.state is state)
                and (asset is None or entry.asset == asset)
            ):
                found.append(entry)
                if len(found) == limit:
                    break
        return found

    async def unfinished(self) -> list[Entry]:
        return sorted((self._entries[key] for key in self._unfinished), key=lambda e: e.seq)

    async def history(self, key: str) -> list[HistoryRow]:
        return [
            HistoryRow(key, entry.version, at_ms, entry.state, history_detail(entry))
            for at_ms, entry in self._history.get(key, ())
        ]

    async def attempts_since(self, account: str, since_ms: int) -> list[PastAttempt]:
        found = [
            past
            for past in map(past_attempt, self._attempts.get(account, {}).values())
            if past.attempt.timestamp_ms >= since_ms
            or past.attempt.ended_at_ms is None
            or past.attempt.ended_at_ms >= since_ms
        ]
        return sorted(found, key=lambda past: past.attempt.timestamp_ms)

    async def lost_since(self, since_ms: int) -> list[PastAttempt]:
        found = [
            past
            for attempts in self._attempts.values()
            for past in map(past_attempt, attempts.values())
            if past.attempt.outcome is Outcome.LOST and past.attempt.timestamp_ms >= since_ms
        ]
        return sorted(found, key=lambda past: past.attempt.timestamp_ms)

    async def claimed(self, account: str, kind: Kind, tran_ids: frozenset[int]) -> dict[int, str]:
        return {
            tran_id: self._claims[account, kind, tran_id]
            for tran_id in tran_ids
            if (account, kind, tran_id) in self._claims
        }

    async def set_mark(self, scope: str, name: str, value: str | None) -> None:
        if value is None:
            self._marks.pop((scope, name), None)
        else:
            self._marks[scope, name] = value

    async def marks(self) -> dict[tuple[str, str], str]:
        return dict(self._marks)

    def _check_version(self, entry: Entry) -> None:
        known = self._entries.get(entry.key)
        if known is None or (known.seq, known.version) != (entry.seq, entry.version - 1):
            raise StaleVersion(entry.key)

    def _check_claims(self, entries: tuple[Entry, ...], changing: set[str]) -> None:
        taken: dict[tuple[str, Kind, int], str] = {}
        for entry in entries:
            if entry.tran_id is None:
                continue
            claim = (entry.account, entry.kind, entry.tran_id)
            holder = self._claims.get(claim)
            if holder is None or holder in changing:
                holder = taken.setdefault(claim, entry.key)
            if holder != entry.key:
                raise TranIdClaimed(entry.tran_id, holder)

    def _check_air(self, entries: tuple[Entry, ...], changing: set[str]) -> None:
        taken: dict[str, str] = {}
        for entry in entries:
            if entry.state is not State.SENT or entry.attempt is None:
                continue
            exclusion = entry.attempt.exclusion
            holder = self._in_air.get(exclusion)
            if holder is None or holder in changing:
                holder = taken.setdefault(exclusion, entry.key)
            if holder != entry.key:
                raise AlreadyInAir(f"{holder} is in the air on {exclusion}")

    def _release(self, before: Entry) -> None:
        if before.tran_id is not None:
            self._claims.pop((before.account, before.kind, before.tran_id), None)
        if before.state is State.SENT and before.attempt is not None:
            self._in_air.pop(before.attempt.exclusion, None)

    def _keep(self, entry: Entry, at_ms: int) -> None:
        key, account, state, attempt = entry.key, entry.account, entry.state, entry.attempt
        self._entries[key] = entry
        if state in FINAL:
            self._unfinished.pop(key, None)
        else:
            self._unfinished[key] = None
        if entry.tran_id is not None:
            self._claims[account, entry.kind, entry.tran_id] = key
        if attempt is not None:
            if state is State.SENT:
                self._in_air[attempt.exclusion] = key
            attempts = self._attempts.get(account)
            if attempts is None:
                attempts = self._attempts[account] = {}
            attempts[key, attempt.number] = entry
        self._history.setdefault(key, []).append((at_ms, entry))
