"""Every error has an answer: its status, its code, the shape of its path."""

import orjson
import pytest

from scheduler import errors
from scheduler.errors import SchedulerError
from scheduler.model import Quote
from scheduler.sidecar import problems
from scheduler.sidecar.openapi import CODES
from scheduler.sidecar.problems import Problem, is_gateway, not_allowed, problem_of

from ..build import entry

KNOWN: list[tuple[SchedulerError, int, str]] = [
    (errors.InvalidRequest("asset", "asset_invalid", "asset: no"), 400, "asset_invalid"),
    (errors.UnknownAccount("account: no"), 404, "account_unknown"),
    (errors.UnknownKey("key: no"), 404, "key_unknown"),
    (errors.KeyReused("key: no", entry()), 409, "key_reused"),
    (errors.NotCancellable("key: no", entry()), 409, "not_cancellable"),
    (errors.NotResolvable("fence_not_passed", "key: no"), 409, "fence_not_passed"),
    (errors.NotResolvable("tran_id_claimed", "tran_id: no"), 409, "tran_id_claimed"),
    (errors.NotResolvable("not_undecided", "key: no"), 409, "not_undecided"),
    (errors.NotResolvable("resolution_invalid", "as: no"), 400, "resolution_invalid"),
    (errors.AccountStopped("account: no"), 409, "account_stopped"),
    (errors.QueueFull("account: full", 0.5), 429, "queue_full"),
    (
        errors.CannotStartInTime("send_within: no", Quote(starts_at_ms=0, ahead=0), 7.2),
        429,
        "cannot_start_in_time",
    ),
    (errors.Closed("closed"), 503, "draining"),
    (errors.JournalUnavailable("journal: no"), 503, "journal_unavailable"),
    (errors.LookFailed("debt of main in USDT: HTTP 503"), 503, "look_failed"),
    (errors.UnknownAsset("asset: no"), 404, "asset_unknown"),
    (errors.WrongLoop("another"), 503, "internal"),
    (SchedulerError("of a kind to come"), 503, "internal"),
]
STANDING = [each for each in vars(problems).values() if isinstance(each, Problem)]


@pytest.mark.parametrize(("error", "status", "code"), KNOWN)
def test_an_error_of_the_scheduler(error: SchedulerError, status: int, code: str) -> None:
    problem = problem_of(error)
    assert (problem.status, problem.code) == (status, code)
    assert problem.status in CODES
    assert problem.status not in {429, 503} or problem.retry_after_s is not None


@pytest.mark.parametrize(("wait_s", "told"), [(0.0, "1"), (0.5, "1"), (1.0, "1"), (7.2, "8")])
def test_retry_after_is_whole_seconds_and_not_too_early(wait_s: float, told: str) -> None:
    assert problem_of(errors.QueueFull("full", wait_s)).headers()["Retry-After"] == told


def test_problems_are_by_the_standard() -> None:
    for problem in [*STANDING, not_allowed("GET,POST")]:
        told = orjson.loads(problem.body)
        assert {"type", "title", "status", "detail", "code"} <= told.keys()
        assert problem.status in CODES
        assert problem.headers()["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("problem", "code"),
    [
        (problems.NOT_FOUND, -1020),
        (not_allowed("GET"), -1020),
        (problems.FOREIGN_HOST, -2015),
        (problems.FOREIGN_ORIGIN, -2015),
        (problems.TOO_LARGE, -1100),
        (problems.TOO_SLOW, -1100),
        (problems.DRAINING, -1016),
        (problems.JOURNAL, -1016),
        (problems.INTERNAL, -1000),
        (problem_of(errors.QueueFull("full", 1)), -1003),
    ],
)
def test_on_the_exchanges_paths_it_has_the_exchanges_shape(problem: Problem, code: int) -> None:
    for path in ("/sapi/v1/margin/borrow-repay", "/api/v3/time"):
        response = problem.response(path)
        assert response.status == problem.status
        assert response.content_type == "application/json"
        assert isinstance(response.body, bytes)
        told = orjson.loads(response.body)
        assert (told.keys(), told["code"]) == ({"code", "msg"}, code)


def test_which_paths_are_the_exchanges() -> None:
    assert all(is_gateway(path) for path in ("/sapi", "/sapi/v1/x", "/api", "/api/v3/time"))
    assert not any(
        is_gateway(path) for path in ("/", "/v1/accounts", "/sapix", "/apis/x", "/v1/api")
    )


def test_the_last_word_of_a_connection_is_whole() -> None:
    head, _, body = problems.TOO_SLOW.raw().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert b"Connection: close" in head
    assert f"Content-Length: {len(body)}".encode() in head
    assert orjson.loads(body)["code"] == "request_too_slow"
