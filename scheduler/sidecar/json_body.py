"""Reading JSON strictly: the one place where bytes of a client become values."""

import json
from typing import Any, NoReturn

import orjson

from ..errors import InvalidRequest

INVALID = "the body must be one JSON object in UTF-8"


def read_object(body: bytes) -> dict[str, Any]:
    """The object that the body is. Raises InvalidRequest: `json_invalid` or `duplicate_key`.

    orjson refuses what is no JSON (NaN, lone surrogates, invalid UTF-8, over 1,024 levels), but of
    two equal keys it takes the last. Two readers who disagree on which one counts are how a request
    gets past a check, so a second pass, over at most a body's 16 KiB, looks for them. It is not
    needed where there are no more colons than keys: each key that was written has one behind it.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        _refuse()
    if not isinstance(value, dict):
        _refuse()
    if body.count(b":") == len(value):
        return value
    try:
        json.loads(body, object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError) as error:
        if isinstance(error, InvalidRequest):
            raise
        _refuse()
    return value


def _without_duplicates(pairs: list[tuple[str, Any]]) -> None:
    """Keeps nothing; only the keys matter."""
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            raise InvalidRequest(
                name[:64], "duplicate_key", f"{name[:64]}: stands twice in one object"
            )
        seen.add(name)


def _refuse() -> NoReturn:
    raise InvalidRequest("body", "json_invalid", f"body: {INVALID}")
