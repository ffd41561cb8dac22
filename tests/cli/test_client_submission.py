"""A submission followed by its key: repeated only while it may not have been taken."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from scheduler.cli.client.connection import Json, Refused, Unreachable
from scheduler.cli.client.submission import AWAY_MAX_S, RETRY_S, Submission
from scheduler.clock import loop_s

pytestmark = pytest.mark.anyio

ASKED_FOR = {"account": "main", "key": "k1"}
AWAY = Unreachable("away", may_have_arrived=False)
LOST = Unreachable("no answer", may_have_arrived=True)
DRAINING = Refused(503, "draining", "nothing new is taken")
NO_JOURNAL = Refused(503, "journal_unavailable", "the disk is full")


def entry(state: str) -> Json:
    return {"key": "k1", "state": state, "is_final": state in {"CONFIRMED", "REJECTED"}}


class Scripted:
    """Answers calls one after the other; the last answer again and again. A wait takes its time."""

    def __init__(self, *answers: Json | Exception) -> None:
        self._answers = list(answers)
        self.calls: list[str] = []
        self.bodies: list[Json | None] = []

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Json | None = None,
    ) -> Json:
        self.calls.append(f"{method} {path}")
        self.bodies.append(body)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            await asyncio.sleep(0.01)
            raise answer
        if query is not None and not answer["is_final"]:
            await asyncio.sleep(float(query["wait"]))
        return answer


def submission(heard: list[str | None] | None = None) -> Submission:
    told = [] if heard is None else heard
    return Submission(
        ASKED_FOR, tell=lambda entry: told.append(None if entry is None else entry["state"])
    )


async def follow(
    followed: Submission, sidecar: Scripted, *, timeout_s: float | None = None
) -> Submission:
    await followed.follow(sidecar, timeout_s=timeout_s, poll_s=5)
    return followed


POST, GET = "POST /v1/submissions", "GET /v1/submissions/k1"


async def test_it_is_submitted_once_and_then_asked_for_until_it_is_final() -> None:
    sidecar = Scripted(entry("QUEUED"), entry("QUEUED"), entry("SENT"), entry("CONFIRMED"))
    heard: list[str | None] = []
    followed = await follow(submission(heard), sidecar)
    assert followed.is_settled
    assert sidecar.calls == [POST, GET, GET, GET]
    assert heard == ["QUEUED", "QUEUED", "SENT", "CONFIRMED"]


async def test_it_is_not_asked_for_once_it_is_final() -> None:
    sidecar = Scripted(entry("REJECTED"))
    assert (await follow(submission(), sidecar)).entry == entry("REJECTED")
    assert sidecar.calls == [POST]


async def test_unresolved_is_waited_for_no_longer() -> None:
    followed = await follow(submission(), Scripted(entry("SENT"), entry("UNRESOLVED")))
    assert followed.is_settled


async def test_after_the_timeout_it_lives_on() -> None:
    sidecar = Scripted(entry("QUEUED"))
    began_s = loop_s()
    followed = await follow(submission(), sidecar, timeout_s=12)
    assert loop_s() - began_s == pytest.approx(12, abs=RETRY_S)
    assert not followed.is_settled
    assert (followed.kept, followed.entry) == ("yes", entry("QUEUED"))


async def test_no_time_to_wait_submits_all_the_same() -> None:
    sidecar = Scripted(entry("QUEUED"))
    assert (await follow(submission(), sidecar, timeout_s=0)).kept == "yes"
    assert sidecar.calls == [POST]


# Trouble


async def test_a_sidecar_that_was_never_there_is_an_error_at_once() -> None:
    sidecar, followed = Scripted(AWAY), submission()
    with pytest.raises(Unreachable) as caught:
        await follow(followed, sidecar)
    assert (caught.value.exit_code, followed.kept, len(sidecar.calls)) == (2, "no", 1)


async def test_a_lost_answer_is_repeated_under_the_same_key() -> None:
    sidecar = Scripted(LOST, AWAY, entry("QUEUED"), entry("CONFIRMED"))
    followed = await follow(submission(), sidecar)
    assert sidecar.calls == [POST, POST, POST, GET]
    assert sidecar.bodies[:3] == [ASKED_FOR] * 3
    assert followed.is_settled


async def test_a_restart_while_it_drains_is_waited_out() -> None:
    sidecar = Scripted(DRAINING, AWAY, AWAY, entry("CONFIRMED"))
    heard: list[str | None] = []
    assert (await follow(submission(heard), sidecar)).is_settled
    assert heard == [None, None, None, "CONFIRMED"]


async def test_a_restart_while_it_is_waited_for_is_waited_out_without_submitting_again() -> None:
    sidecar = Scripted(entry("SENT"), LOST, AWAY, DRAINING, entry("CONFIRMED"))
    assert (await follow(submission(), sidecar)).is_settled
    assert sidecar.calls == [POST, GET, GET, GET, GET]


async def test_a_sidecar_that_lost_its_journal_is_not_given_it_again() -> None:
    sidecar = Scripted(entry("QUEUED"), Refused(404, "key_unknown", "key: no submission"))
    with pytest.raises(Refused) as caught:
        await follow(submission(), sidecar)
    assert caught.value.exit_code == 3
    assert sidecar.calls == [POST, GET]


@pytest.mark.parametrize(
    ("status", "code", "exit_code"),
    [
        (400, "amount_invalid", 2),
        (401, "token_wrong", 2),
        (404, "account_unknown", 2),
        (409, "key_reused", 2),
        (409, "account_stopped", 1),
        (429, "queue_full", 1),
        (429, "cannot_start_in_time", 1),
    ],
)
async def test_a_refusal_is_final_and_nothing_was_taken(
    status: int, code: str, exit_code: int
) -> None:
    followed = submission()
    with pytest.raises(Refused) as caught:
        await follow(followed, Scripted(Refused(status, code, "no")))
    assert (caught.value.exit_code, followed.kept) == (exit_code, "no")


async def test_a_refusal_after_a_lost_answer_does_not_say_that_it_was_not_executed() -> None:
    followed = submission()
    with pytest.raises(Refused) as caught:
        await follow(followed, Scripted(LOST, Refused(401, "token_wrong", "no")))
    assert (caught.value.exit_code, followed.kept) == (3, "maybe")


async def test_a_journal_that_fails_may_have_kept_it() -> None:
    followed = submission()
    await follow(followed, Scripted(NO_JOURNAL), timeout_s=5)
    assert (followed.kept, followed.entry) == ("maybe", None)


async def test_a_sidecar_that_drains_for_too_long_has_taken_nothing() -> None:
    followed = submission()
    with pytest.raises(Refused) as caught:
        await follow(followed, Scripted(DRAINING))
    assert (caught.value.exit_code, followed.kept) == (1, "no")


async def test_a_sidecar_that_stays_away_is_not_waited_for_longer_than_the_bound() -> None:
    began_s = loop_s()
    followed = await follow(submission(), Scripted(entry("SENT"), AWAY))
    assert AWAY_MAX_S - 10 < loop_s() - began_s <= AWAY_MAX_S
    assert (followed.kept, followed.entry) == ("yes", entry("SENT"))


async def test_a_sidecar_that_does_not_wait_is_not_asked_without_a_pause() -> None:
    class Hasty(Scripted):
        async def call(self, method: str, path: str, **options: Any) -> Json:
            self.calls.append(method)
            assert len(self.calls) <= 10 / RETRY_S + 2
            return entry("QUEUED")

    await follow(submission(), Hasty(), timeout_s=10)


async def test_whoever_is_stopped_while_it_is_handed_over_does_not_know_whether_it_was() -> None:
    class Silent(Scripted):
        async def call(self, method: str, path: str, **options: Any) -> Json:
            await asyncio.Event().wait()
            raise AssertionError

    followed = submission()
    following = asyncio.ensure_future(follow(followed, Silent()))
    await asyncio.sleep(1)
    following.cancel()
    with pytest.raises(asyncio.CancelledError):
        await following
    assert followed.kept == "maybe"
