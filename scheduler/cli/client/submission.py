"""One submission followed to its end, through restarts of the sidecar."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol

from ...clock import loop_s
from .connection import Json, Refused, Unreachable, part

POLL_S = 25.0
"""How long one call asks the sidecar to wait."""
LIVE_POLL_S = 1.0
"""The same while somebody watches a line that should move."""
RETRY_S = 0.5
"""Between two tries to reach a sidecar that is away, doubling."""
RETRY_MAX_S = 5.0
AWAY_MAX_S = 120.0
"""How long a sidecar may be away before nothing more is asked."""
FOLLOW_MAX_S = 8 * 86_400.0
"""A submission may wait for a week, and be looked up after that."""

_PASSING = frozenset({408, 503})
"""Statuses of a sidecar that stops, starts, or cannot write now."""

Kept = Literal["no", "maybe", "yes"]


class Sidecar(Protocol):
    """As much of a `Connection` as is needed here."""

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Json | None = None,
    ) -> Json: ...


class Submission:
    """What the sidecar was asked for and has said of it.

    Repeating the same key is the same submission, so until it is known to be kept it is submitted
    again; after that it is only asked for. A sidecar that has lost its journal must not borrow a
    second time.
    """

    def __init__(self, asked_for: Json, *, tell: Callable[[Json | None], None]) -> None:
        """`tell` is called with the entry whenever there is news; None while the sidecar is
        away."""
        self.entry: Json | None = None
        self.kept: Kept = "no"
        self._asked_for = asked_for
        self._tell = tell
        self._was_met = False

    @property
    def key(self) -> str:
        return str(self._asked_for["key"])

    async def follow(self, sidecar: Sidecar, *, timeout_s: float | None, poll_s: float) -> None:
        """Until it is settled, the time is over, or the sidecar stays away.

        Raises Refused where it was not taken, and Unreachable where it was never sent.
        """
        until_s = loop_s() + (FOLLOW_MAX_S if timeout_s is None else timeout_s)
        answered_at_s = loop_s()
        retry_s = RETRY_S
        while not self.is_settled:
            asked_at_s = loop_s()
            if asked_at_s >= until_s and self.kept == "yes":
                return
            try:
                if self.kept == "yes":
                    await self._wait(sidecar, min(poll_s, until_s - asked_at_s))
                    # One that is about to stop does not wait, however it is asked.
                    await asyncio.sleep(0 if self.is_settled else asked_at_s + RETRY_S - loop_s())
                else:
                    await self._submit(sidecar)
                answered_at_s, retry_s = loop_s(), RETRY_S
            except (Refused, Unreachable) as error:
                self._check_can_pass(error)
                if loop_s() + retry_s >= min(until_s, answered_at_s + AWAY_MAX_S):
                    if self.kept == "no":
                        error.exit_code = 1
                        raise
                    return
                self._tell(None)
                await asyncio.sleep(retry_s)
                retry_s = min(retry_s * 2, RETRY_MAX_S)

    @property
    def is_settled(self) -> bool:
        """Whether waiting longer is unlikely to help."""
        entry = self.entry
        return entry is not None and (entry["is_final"] or entry["state"] == "UNRESOLVED")

    async def _submit(self, sidecar: Sidecar) -> None:
        # From here on it may be kept, also for whoever stops us before an answer has come.
        was, self.kept = self.kept, "maybe"
        try:
            entry = await sidecar.call("POST", "/v1/submissions", body=self._asked_for)
        except (Refused, Unreachable) as error:
            self._was_met = self._was_met or isinstance(error, Refused)
            if _was_not_kept(error):
                self.kept = was
            raise
        self.kept = "yes"
        self._note(entry)

    async def _wait(self, sidecar: Sidecar, wait_s: float) -> None:
        path = f"/v1/submissions/{part(self.key)}"
        self._note(await sidecar.call("GET", path, query={"wait": f"{wait_s:.3f}"}))

    def _note(self, entry: Json) -> None:
        self.entry = entry
        self._tell(entry)

    def _check_can_pass(self, error: Refused | Unreachable) -> None:
        """Raises what waiting does not help against."""
        if isinstance(error, Unreachable):
            is_hopeless = self.kept == "no" and not self._was_met
        else:
            is_hopeless = error.status not in _PASSING
        if is_hopeless:
            if self.kept != "no":  # what was sent before this is not refused by it
                error.exit_code = 3
            raise error


def _was_not_kept(error: Refused | Unreachable) -> bool:
    if isinstance(error, Unreachable):
        return not error.may_have_arrived
    return error.status not in _PASSING or error.code == "draining"
