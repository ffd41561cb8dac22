"""Looks up what helps after a refusal, once its lane has gone on."""

import asyncio
import logging
from collections.abc import Callable

import anyio

from .advice import NEEDS, Figure, advice, calls_for_figures
from .errors import JournalUnavailable, LookFailed
from .events import Advised
from .figures import AssetStatus, Debt, MaxBorrowable
from .journal.protocol import StaleVersion
from .model import Entry
from .survey import RULES_FRESH_MS, Board, Survey
from .worker import Worker

BANNED = -3012
LOOK_MAX_S = 5.0
"""Advice that takes longer than this to look up is not worth its weight any more."""
PENDING_MAX = 100
"""Refusals that are looked into at once; further ones keep the general advice."""
FRESH_MAX = 10
"""While so few are looked into, figures are looked up after the refusal; beyond that they may be as
old as others' are."""

_log = logging.getLogger("margin_scheduler")


class Adviser:
    """One a scheduler."""

    def __init__(
        self,
        board: Board,
        survey_of: Callable[[str], Survey],
        worker_of: Callable[[str], Worker | None],
    ) -> None:
        self._board = board
        self._survey_of = survey_of
        self._worker_of = worker_of
        self._pending: dict[str, asyncio.Event] = {}

    def takes(self, entry: Entry) -> bool:
        """Whether `advise` is to be called for an entry that has just ended. It counts as pending
        from here on."""
        if not calls_for_figures(entry) or len(self._pending) >= PENDING_MAX:
            return False
        self._pending[entry.key] = asyncio.Event()
        return True

    async def advised(self, key: str) -> None:
        """Wait until advice is there, if it is being looked up."""
        event = self._pending.get(key)
        if event is not None:
            await event.wait()

    async def advise(self, entry: Entry) -> None:
        """Look up what helps, and keep it with the entry."""
        try:
            with anyio.move_on_after(LOOK_MAX_S):
                figures = await self._figures(entry)
                words = advice(entry, figures)
                if figures and words != entry.advice:
                    worker = self._worker_of(entry.account)
                    if worker is not None:
                        await worker.apply(entry, Advised(words), is_patient=False)
        except (JournalUnavailable, StaleVersion) as error:
            _log.warning("no advice for %s: %s", entry.key, error)
        finally:
            self._pending.pop(entry.key).set()

    async def _figures(self, entry: Entry) -> list[Figure]:
        assert entry.code is not None
        figures: list[Figure] = []
        for needed in NEEDS[entry.code]:
            try:
                figures.append(await self._look(entry, needed))
            except LookFailed as error:
                _log.info("for advice on %s: %s", entry.key, error)
        return figures

    async def _look(self, entry: Entry, needed: type[Figure]) -> Figure:
        survey, fresh = self._survey_of(entry.account), len(self._pending) <= FRESH_MAX
        if needed is Debt:
            return await survey.debt(entry.asset, entry.symbol, fresh=fresh)
        if needed is MaxBorrowable:
            return await survey.max_borrowable(entry.asset, entry.symbol, fresh=fresh)
        if needed is AssetStatus:
            is_about_it = entry.code == BANNED
            max_age_ms = 0 if is_about_it and fresh else RULES_FRESH_MS
            return await self._board.asset(entry.asset, max_age_ms=max_age_ms)
        return await self._board.inventory(entry.asset, is_isolated=entry.symbol is not None)
