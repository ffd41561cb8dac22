"""What a bot is told of each state."""

import orjson
import pytest

from scheduler import State
from scheduler.model import Answer, Entry, revised
from scheduler.sidecar.gateway import outcomes

from ..build import entry


def told(what: Entry) -> tuple[int, int | None]:
    reply = outcomes.reply(what, 3.2)
    content = orjson.loads(reply.body)
    assert ("Retry-After" in reply.headers) == (reply.status == 429)
    return reply.status, content.get("code")


def refused(state: State, code: int, message: str = "said") -> Entry:
    return revised(entry(state), answer=Answer(code=code, name="X", message=message))


@pytest.mark.parametrize(
    ("what", "status", "code"),
    [
        (entry(State.CONFIRMED), 200, None),
        (entry(State.SENT), 504, -1007),
        (entry(State.ACCEPTED), 504, -1007),
        (entry(State.UNKNOWN), 504, -1007),
        (entry(State.UNRESOLVED), 504, -1007),
        (entry(State.QUEUED), 504, -1007),
        (entry(State.NOT_EXECUTED), 429, -1003),
        (entry(State.EXPIRED), 429, -1003),
        (entry(State.CANCELLED), 429, -1003),
        (entry(State.REJECTED), 429, -1003),
        (refused(State.REJECTED, -3006), 400, -3006),
        (refused(State.REJECTED, -2015), 400, -2015),
        (refused(State.REJECTED, -4711), 400, -4711),
        (refused(State.REJECTED, -3045), 400, -3045),
        (refused(State.CANCELLED, -3045), 400, -3045),
        (refused(State.CANCELLED, -3007), 400, -3007),
        (refused(State.CANCELLED, -1003), 429, -1003),
        (refused(State.CANCELLED, -1021), 429, -1003),
        (refused(State.REJECTED, -1003), 429, -1003),
        (refused(State.UNKNOWN, -1000), 504, -1007),
        (refused(State.UNRESOLVED, -3007), 504, -1007),
        (refused(State.NOT_EXECUTED, -1000), 429, -1003),
    ],
)
def test_what_is_told(what: Entry, status: int, code: int | None) -> None:
    assert told(what) == (status, code)


@pytest.mark.parametrize("state", [s for s in State if not s.is_final])
@pytest.mark.parametrize("code", [None, -3006, -3007, -3045, -1003])
def test_not_executed_is_never_said_before_it_is_certain(state: State, code: int | None) -> None:
    what = entry(state) if code is None else refused(state, code)
    assert told(what) == (504, -1007)
    assert not outcomes.is_void(what)


def test_the_exchanges_words_are_kept() -> None:
    reply = outcomes.reply(refused(State.REJECTED, -3006, 'It\'s "full" é'), 1.0)
    assert orjson.loads(reply.body) == {"code": -3006, "msg": 'It\'s "full" é'}


@pytest.mark.parametrize(
    ("what", "is_void"),
    [
        (entry(State.CONFIRMED), False),
        (refused(State.REJECTED, -3006), False),
        (refused(State.REJECTED, -3045), True),
        (entry(State.REJECTED), True),
        (entry(State.NOT_EXECUTED), True),
        (entry(State.EXPIRED), True),
        (entry(State.CANCELLED), True),
    ],
)
def test_what_an_equal_request_need_not_take_over(what: Entry, is_void: bool) -> None:
    assert outcomes.is_void(what) == is_void
