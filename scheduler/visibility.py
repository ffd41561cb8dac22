"""Measures how long a record takes to show after its reply: what proofs of absence assume.

Now and then a directly answered transaction is looked for until its record can be seen. The longest
time seen is kept; one that came near the assumption raises an alarm.
"""

from dataclasses import replace

import anyio

from .address import Purpose
from .clock import Clock
from .exchange import Look
from .model import Entry, Outcome, State
from .reconcile import window
from .worker import Worker

EVERY_MS = 300_000
"""Between two measurements of one account."""
FIRST_LOOK_MS = 200
"""After the reply, doubling."""
LOOKS_MAX = 9
LOOK_MAX_MS = 2_000
"""One that took longer waited for weight, and cannot tell whether the record showed meanwhile."""
AT_ONCE_MAX = 10
"""Measurements at the same time, of all accounts together. After a start each account has one due,
and a thousand looks at once would spend the audits' weight for minutes: a later confirmation will
do."""
ALARM_SHARE = 0.5
"""Of the time that a record is assumed to take at most."""


class VisibilityProbe:
    """One a scheduler."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._measured_at_ms: dict[str, int] = {}
        self._under_way = 0

    def is_due(self, entry: Entry) -> bool:
        """Whether this confirmation should be measured."""
        if self._under_way >= AT_ONCE_MAX:
            return False
        is_direct = entry.state is State.CONFIRMED and entry.evidence[-1].source == "reply"
        now_ms = self._clock.steady_ms()
        last_ms = self._measured_at_ms.get(entry.account)
        if not is_direct or (last_ms is not None and now_ms < last_ms + EVERY_MS):
            return False
        self._measured_at_ms[entry.account] = now_ms
        return True

    async def measure(self, worker: Worker, entry: Entry) -> None:
        """Look until the record shows, and keep how long that took."""
        if self._under_way >= AT_ONCE_MAX:  # many became due in the same turn of the loop
            del self._measured_at_ms[entry.account]
            return
        self._under_way += 1
        try:
            await self._look(worker, entry)
        finally:
            self._under_way -= 1

    async def _look(self, worker: Worker, entry: Entry) -> None:
        attempt = entry.attempt
        assert attempt is not None
        assert attempt.outcome is Outcome.ANSWERED
        replied_at_ms = self._clock.steady_ms()
        for nth in range(LOOKS_MAX):
            await anyio.sleep((FIRST_LOOK_MS << nth) / 1000)
            times = window(attempt, worker.policy)
            asked_at_ms = self._clock.steady_ms()
            look = await worker.exchange.look(entry, times, Purpose.AUDIT)
            if self._clock.steady_ms() - asked_at_ms > LOOK_MAX_MS:
                return
            if isinstance(look, Look) and entry.tran_id in {r.tran_id for r in look.records}:
                took_ms = self._clock.steady_ms() - replied_at_ms
                worker.shared.watchers.record_shown(entry.account, took_ms)
                await self._keep(worker, entry, took_ms)
                return
        await self._keep(worker, entry, self._clock.steady_ms() - replied_at_ms)

    async def _keep(self, worker: Worker, entry: Entry, took_ms: int) -> None:
        """`took_ms` is an upper bound: the record showed between two looks."""
        assumed_ms = worker.policy.visibility_max_ms
        if took_ms > assumed_ms * ALARM_SHARE:
            worker.standing.alarm(
                "slow_record",
                f"the record of {entry.key} took up to {took_ms} ms to show; "
                f"{assumed_ms} ms are assumed",
                key=entry.key,
            )
        marks = worker.standing.marks
        if took_ms > marks.record_delay_max_ms:
            await worker.standing.keep(replace(marks, record_delay_max_ms=took_ms))
