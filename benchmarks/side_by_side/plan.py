"""Who plays when: alone, or at the same time as others that wait as well."""

from collections.abc import Sequence
from dataclasses import dataclass

from .work import Work

APART_S = 12.0
"""Between the beginnings of two that play together: a burst of 100 is over by then."""

WAITING = frozenset({"ccxt", "ccxt_retries"})
"""Clients whose own limiter keeps them waiting at every work, for one second a borrow."""

PACED = WAITING | {"recipe", "pyrate"}
"""Clients that keep themselves waiting between any two borrows of an account."""


@dataclass(frozen=True, slots=True)
class Match:
    client: str
    work: Work


Group = tuple[Match, ...]
"""Matches that are played at the same time, each at an exchange of its own."""


def groups(clients: Sequence[str], works: Sequence[Work]) -> list[Group]:
    """Every client at every work. Whoever could be slowed down by another is alone: all that are
    busy until they are done. What is mostly waiting is played together, in the last groups."""
    alone: list[Group] = []
    busy_waiting: list[Match] = []
    waiting: list[Match] = []
    for work in works:
        for client in clients:
            match = Match(client, work)
            if client in WAITING and len(work.accounts) > 1:
                # Its limiter wakes up every millisecond for each account: too much beside others.
                busy_waiting.append(match)
            elif work.is_mostly_waiting or (client in PACED and len(work.accounts) == 1):
                waiting.append(match)
            else:
                alone.append((match,))
    # The longest first, so that the group ends soonest.
    waiting.sort(key=lambda match: (match.client not in WAITING, -len(match.work.asks)))
    return [*alone, *(tuple(group) for group in (busy_waiting, waiting) if group)]


def starts_s(group: Group) -> list[float]:
    """When each begins, after all are set up. The waiting clients begin with the first: they are
    never busy."""
    starts, next_s = [], 0.0
    for match in group:
        is_waiting = match.client in WAITING
        starts.append(0.0 if is_waiting else next_s)
        next_s += 0.0 if is_waiting else APART_S
    return starts
