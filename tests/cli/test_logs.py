"""What `serve` writes to standard error."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from scheduler.cli.logs import configure_logs
from scheduler.model import Alarm, State
from scheduler.watch import Watchers

from .. import build

LOG = logging.getLogger("margin_scheduler")


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, levels = list(root.handlers), (root.level, LOG.level)
    yield
    root.handlers = handlers
    root.setLevel(levels[0])
    LOG.setLevel(levels[1])
    logging.captureWarnings(False)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def configured(level: str = "info") -> io.StringIO:
    stream = io.StringIO()
    configure_logs(level, stream)
    return stream


def test_a_change_is_one_line_that_begins_with_its_state() -> None:
    stream = configured()
    Watchers().changed(build.entry(State.CONFIRMED, key="k1"))
    (line,) = lines(stream)
    assert next(iter(line)) == "event"
    assert (line["event"], line["key"], line["account"]) == ("CONFIRMED", "k1", "main")
    assert line["level"] == "info"
    assert line["at"].endswith("Z")
    assert "message" not in line


def test_an_alarm_is_one_line_with_its_cause_and_its_sentence() -> None:
    stream = configured()
    alarm = Alarm(at_ms=1, account="main", key=None, cause="journal", message="the disk is full")
    Watchers().alarmed(alarm)
    (line,) = lines(stream)
    assert (line["event"], line["level"]) == ("journal", "error")
    assert (line["message"], line["account"]) == ("the disk is full", "main")


def test_an_exception_stays_on_its_line() -> None:
    stream = configured()
    try:
        raise ValueError("a defect\nof two lines")
    except ValueError:
        LOG.exception("it failed")
    (line,) = lines(stream)
    assert line["event"] == "it failed"
    assert "ValueError: a defect" in line["exception"]


def test_a_signature_never_gets_through_whoever_logs_it() -> None:
    stream = configured()
    logging.getLogger("somebody.else").warning("GET /x?a=1&signature=%s&b=2", "ab12%2B")
    try:
        raise ValueError("signature=cd34")
    except ValueError:
        LOG.exception("failed: %s", "signature=ef56")
    told = stream.getvalue()
    assert "signature=" not in told
    assert not any(part in told for part in ("ab12", "cd34", "ef56"))


def test_others_are_heard_from_warnings_on() -> None:
    stream = configured("debug")
    logging.getLogger("somebody.else").info("chatter")
    logging.getLogger("somebody.else").warning("trouble")
    LOG.debug("detail")
    assert [line["event"] for line in lines(stream)] == ["trouble", "detail"]


def test_the_level_is_what_was_asked_for() -> None:
    stream = configured("error")
    LOG.warning("not this")
    LOG.error("this")
    assert [line["event"] for line in lines(stream)] == ["this"]


@pytest.mark.parametrize(("no_color", "is_coloured"), [(None, True), ("1", False)])
def test_a_terminal_gets_lines_for_people(
    monkeypatch: pytest.MonkeyPatch, no_color: str | None, is_coloured: bool
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_color is not None:
        monkeypatch.setenv("NO_COLOR", no_color)
    stream = Terminal()
    configure_logs("info", stream)
    Watchers().changed(build.entry(State.QUEUED, key="k1"))
    told = stream.getvalue()
    assert "QUEUED" in told
    assert told.count("\n") == 1
    assert ("\x1b[" in told) is is_coloured
