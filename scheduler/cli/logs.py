"""What a running sidecar writes to standard error: one line an event.

The library logs to `margin_scheduler` by the standard module; only here is it decided what that
looks like. A line about a submission begins with the word of its state, one about an alarm with its
cause: the same words as in the API, the metrics and the journal.
"""

import logging
import os
import re
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor

LEVELS = ("debug", "info", "warning", "error")

_SIGNATURE = re.compile(r"signature=[^&\s'\"]*", re.IGNORECASE)
_FIELDS = ("key", "account", "state", "code")


def configure_logs(level: str, stream: TextIO | None = None) -> None:
    """Have everything that is logged from now on written to a stream, standard error by default:
    as JSON, or for people where it is a terminal."""
    stream = sys.stderr if stream is None else stream
    renderer: list[Processor]
    if stream.isatty():
        renderer = [
            structlog.dev.ConsoleRenderer(colors="NO_COLOR" not in os.environ, timestamp_key="at")
        ]
    else:
        renderer = [structlog.processors.JSONRenderer(ensure_ascii=False)]
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.stdlib.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
                _with_fields,
            ],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                _without_signatures,
                *renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)  # others' libraries
    logging.getLogger("margin_scheduler").setLevel(level.upper())
    logging.captureWarnings(True)


def _with_fields(logger: Any, name: str, event: EventDict) -> EventDict:
    record: logging.LogRecord = event["_record"]
    for field in _FIELDS:
        value = getattr(record, field, None)
        if value is not None:
            event[field] = value
    state = event.pop("state", None)
    if state is not None:
        if event["event"] != f"{event.get('key')} {state}":
            event["message"] = event["event"]
        event["event"] = state
    return event


def _without_signatures(logger: Any, name: str, event: EventDict) -> MutableMapping[str, Any]:
    """Nothing here logs one. Should a library's message ever quote a request, it goes here."""
    return {
        field: _SIGNATURE.sub("(signature)", value) if isinstance(value, str) else value
        for field, value in event.items()
    }
