"""What an earlier process of the sidecar left behind: submissions whose clients it took along."""

import re
import secrets
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from itertools import count

from ...model import ALL, MAX, Entry, State
from ...scheduler import Scheduler
from .adoption import Wish

PAGE = 500

UNFINISHED = (State.QUEUED, State.SENT, State.ACCEPTED, State.UNKNOWN, State.UNRESOLVED)

_MADE_HERE = re.compile(r"(?P<client>.+):gw-[0-9a-f]{24}", re.ASCII)


def new_keys() -> Iterator[str]:
    """Keys for requests without one; they tell in the journal that the gateway made them. Chance is
    asked for once: nobody else draws these 64 bits, and asking for each request is dear."""
    ours = secrets.token_hex(8)
    return (f"gw-{ours}{number:08x}" for number in count())


async def left_behind(
    scheduler: Scheduler, clients: frozenset[str], found_unfinished: Iterable[str]
) -> Sequence[tuple[Entry, Wish]]:
    """Unfinished submissions of the gateway's own making, oldest first, and those that were found
    unfinished when the scheduler was started, whatever became of them since. Raises
    JournalUnavailable.

    Those that chose their keys are not among them: repeating the key finds them. What was finished
    before is not either, because nobody kept whether its client had been told.
    """
    if scheduler.is_shared:  # they may be those of another host's clients, who still wait
        return []
    entries: dict[int, Entry] = {}
    for state in UNFINISHED:
        after: int | None = None
        while page := await scheduler.list(state=state, limit=PAGE, after=after):
            after = page[-1].seq
            entries |= {entry.seq: entry for entry in page}
    for key in found_unfinished:
        if _MADE_HERE.fullmatch(key):
            entry = await scheduler.get(key)
            entries[entry.seq] = entry
    found: list[tuple[Entry, Wish]] = []
    for _, entry in sorted(entries.items()):
        made_here = _MADE_HERE.fullmatch(entry.key)
        if entry.requested in {ALL, MAX}:
            continue  # no bot's, whoever chose such a key: those name amounts
        if made_here is not None and made_here["client"] in clients:
            found.append((entry, _wish(entry, made_here["client"])))
    return found


def _wish(entry: Entry, client: str) -> Wish:
    return Wish(
        client=client,
        account=entry.account,
        kind=entry.kind,
        asset=entry.asset,
        amount=Decimal(entry.requested),
        symbol=entry.symbol,
    )
