"""The OpenAPI 3.1 document, made from the types that validate."""

from dataclasses import dataclass
from typing import Any

import msgspec
import orjson

from . import bodies

CODES = {
    400: "the request is wrong; `code` and `field` say where",
    401: "no token, or a wrong one",
    403: "a foreign `Host`, another site's `Origin`, another user's process",
    404: "there is no such thing",
    405: "the path has other methods: see `Allow`",
    408: "the request did not arrive within 5 seconds",
    409: "it contradicts how things stand",
    413: "the body is over 16 KiB",
    415: "the body is not JSON by its type",
    429: "not now: see `Retry-After`",
    503: "draining, the journal is unavailable, a look at the exchange failed, too many "
    "connections or requests that wait, or a defect that was logged",
}
EVERYWHERE = (400, 401, 403, 404, 405, 408, 413, 415, 503)
"""What any call may be answered with: the server itself says most of these."""


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One call."""

    method: str
    path: str
    name: str
    summary: str
    answers: dict[int, type[msgspec.Struct] | tuple[type[msgspec.Struct], ...] | str]
    """By status: the type of a JSON answer, or the types of which it is one, or another media
    type."""
    requests: tuple[type[msgspec.Struct], ...] = ()
    """The types of body it takes, any of them."""
    query: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    """Of the query."""
    problems: tuple[int, ...] = ()
    is_open: bool = False
    """Needs no token."""


LOOKS = (
    "Asks the exchange, for half a minute at most: 503 `look_failed` if that did not work, 404 "
    "`asset_unknown` if it knows no such asset or pair."
)
KEY_PATH, ACCOUNT_PATH = "/v1/submissions/{key}", "/v1/accounts/{account}"

OPERATIONS = (
    Operation(
        method="post",
        path="/v1/submissions",
        name="submit",
        summary="Queue a borrow or repayment; it is durable when this answers. Repeating it with "
        "the same key is safe.",
        requests=(bodies.Borrow, bodies.Repay),
        query=("wait",),
        answers={200: bodies.EntryBody, 202: bodies.EntryBody},
        problems=(409, 429),
    ),
    Operation(
        method="get",
        path="/v1/submissions",
        name="list",
        summary="Submissions, newest first.",
        query=("account", "state", "asset", "limit", "after"),
        answers={200: bodies.EntryList},
    ),
    Operation(
        method="get",
        path=KEY_PATH,
        name="show",
        summary="One submission; with `wait`, once it is settled.",
        query=("wait",),
        answers={200: bodies.EntryBody},
    ),
    Operation(
        method="delete",
        path=KEY_PATH,
        name="cancel",
        summary="Take back what has not been sent.",
        answers={200: bodies.EntryBody},
        problems=(409,),
    ),
    Operation(
        method="post",
        path=f"{KEY_PATH}/resolve",
        name="resolve",
        summary="Decide by hand what is UNKNOWN or UNRESOLVED.",
        requests=(bodies.Confirmed, bodies.NotExecuted),
        answers={200: bodies.EntryBody},
        problems=(409,),
    ),
    Operation(
        method="get",
        path=f"{KEY_PATH}/history",
        name="history",
        summary="Every change of one submission; none are kept of an archived one.",
        answers={200: bodies.History},
    ),
    Operation(
        method="get",
        path="/v1/accounts",
        name="accounts",
        summary="What all accounts are doing now.",
        answers={200: bodies.AccountList},
    ),
    Operation(
        method="get",
        path=ACCOUNT_PATH,
        name="account",
        summary="What one account is doing now.",
        answers={200: bodies.AccountBody},
    ),
    Operation(
        method="post",
        path=f"{ACCOUNT_PATH}/pause",
        name="pause",
        summary="Send nothing of the account until it is resumed; go on taking submissions.",
        answers={200: bodies.AccountBody},
    ),
    Operation(
        method="post",
        path=f"{ACCOUNT_PATH}/resume",
        name="resume",
        summary="Take back a pause, a stop, and the finding that others use the account.",
        answers={200: bodies.AccountBody},
    ),
    Operation(
        method="get",
        path=f"{ACCOUNT_PATH}/debt",
        name="debt",
        summary="What the account owes of an asset, or without `asset` all that it owes: in cross "
        f"margin, or with `symbol` in that isolated pair. {LOOKS}",
        query=("asset", "symbol", "fresh"),
        answers={200: (bodies.DebtBody, bodies.DebtList)},
    ),
    Operation(
        method="get",
        path=f"{ACCOUNT_PATH}/max-borrowable",
        name="max_borrowable",
        summary=f"What the account could borrow of an asset. {LOOKS}",
        query=("asset", "symbol", "fresh"),
        required=("asset",),
        answers={200: bodies.MaxBorrowableBody},
    ),
    Operation(
        method="post",
        path=f"{ACCOUNT_PATH}/settle-debt",
        name="settle_debt",
        summary="After an order that was to repay: look until the debt is gone, wait while "
        "something is pending, and repay what is silently left. The answer comes when that is "
        "decided or `within_ms` is over, a minute at most, and can take half a minute more where "
        "the exchange is slow to answer; whoever needs longer asks again. Repeating it is safe: "
        "nothing is repaid twice, and what was begun goes on if the client leaves.",
        requests=(bodies.SettleDebt,),
        answers={200: bodies.SettlementBody},
        problems=(409, 429),
    ),
    Operation(
        method="get",
        path="/v1/assets/{asset}",
        name="asset",
        summary="Whether an asset can be borrowed, its minimums, and what the exchange has left of "
        f"it. {LOOKS}",
        answers={200: bodies.AssetBody},
    ),
    Operation(
        method="get",
        path="/v1/events",
        name="events",
        summary="Server-sent events: `entry` and `alarm`, resumed by Last-Event-ID; `reset` where "
        "that is too old, then read everything anew.",
        query=("account",),
        answers={200: "text/event-stream"},
    ),
    Operation(
        method="get",
        path="/healthz",
        name="health",
        summary="Whether the process answers.",
        answers={200: bodies.Health},
        is_open=True,
    ),
    Operation(
        method="get",
        path="/readyz",
        name="ready",
        summary="Whether submissions are taken.",
        answers={200: bodies.Health},
        is_open=True,
    ),
    Operation(
        method="get",
        path="/metrics",
        name="metrics",
        summary="Metrics for Prometheus.",
        answers={200: "text/plain"},
    ),
    Operation(
        method="get",
        path="/openapi.json",
        name="openapi",
        summary="This document.",
        answers={200: "application/json"},
    ),
)

_PARAMETERS: dict[str, dict[str, Any]] = {
    "wait": {
        "description": "seconds to wait for the submission to be settled",
        "schema": {"type": "number", "minimum": 0, "maximum": bodies.WAIT_MAX_S},
    },
    "account": {"schema": {"type": "string", "minLength": 1}},
    "state": {"schema": msgspec.json.schema(bodies.StateWord)},
    "asset": {"schema": msgspec.json.schema(bodies.Asset)},
    "symbol": {"schema": msgspec.json.schema(bodies.Symbol)},
    "fresh": {
        "description": "true: ask anew, however young the latest answer is",
        "schema": {"type": "boolean", "default": False},
    },
    "limit": {
        "schema": {
            "type": "integer",
            "minimum": 1,
            "maximum": bodies.LIMIT_MAX,
            "default": bodies.LIMIT_DEFAULT,
        }
    },
    "after": {"schema": msgspec.json.schema(bodies.Cursor)},
    "key": {"schema": {"type": "string", "minLength": 1}},
}

_TYPES = (
    bodies.Borrow,
    bodies.Repay,
    bodies.Confirmed,
    bodies.NotExecuted,
    bodies.SettleDebt,
    bodies.EntryBody,
    bodies.EntryList,
    bodies.History,
    bodies.AccountBody,
    bodies.AccountList,
    bodies.DebtBody,
    bodies.DebtList,
    bodies.MaxBorrowableBody,
    bodies.AssetBody,
    bodies.SettlementBody,
    bodies.Health,
    bodies.ProblemBody,
)


def document() -> bytes:
    """The document, as JSON."""
    _, schemas = msgspec.json.schema_components(_TYPES, ref_template="#/components/schemas/{name}")
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _described(operation)
    return orjson.dumps(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "margin-scheduler",
                "version": "1",
                "description": "Amounts are strings, times are milliseconds since 1970.",
            },
            "paths": paths,
            "components": {
                "schemas": schemas,
                "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            },
        }
    )


def _described(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "security": [] if operation.is_open else [{"token": []}],
        "parameters": [*_path_parameters(operation.path), *_query_parameters(operation)],
        "responses": {
            **{str(status): _answer(status, kind) for status, kind in operation.answers.items()},
            **{
                str(status): _problem(status)
                for status in sorted({*EVERYWHERE, *operation.problems})
            },
        },
    }
    if operation.requests:
        described["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": _one_of(operation.requests)}},
        }
    return described


def _path_parameters(path: str) -> list[dict[str, Any]]:
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    return [{"name": name, "in": "path", "required": True, **_PARAMETERS[name]} for name in names]


def _query_parameters(operation: Operation) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "query", "required": name in operation.required, **_PARAMETERS[name]}
        for name in operation.query
    ]


def _answer(
    status: int, answer: type[msgspec.Struct] | tuple[type[msgspec.Struct], ...] | str
) -> dict[str, Any]:
    if isinstance(answer, str):
        return {"description": "as asked", "content": {answer: {}}}
    kinds = answer if isinstance(answer, tuple) else (answer,)
    described: dict[str, Any] = {
        "description": " Or: ".join((kind.__doc__ or "").strip() for kind in kinds),
        "content": {"application/json": {"schema": _one_of(kinds)}},
    }
    if status == 202:
        described["description"] = "kept, and not final yet"
    return described


def _problem(status: int) -> dict[str, Any]:
    described: dict[str, Any] = {
        "description": CODES[status],
        "content": {"application/problem+json": {"schema": _reference(bodies.ProblemBody)}},
    }
    if status in {429, 503}:
        described["headers"] = {
            "Retry-After": {
                "description": "seconds",
                "required": False,
                "schema": {"type": "integer"},
            }
        }
    if status == 405:
        described["headers"] = {"Allow": {"schema": {"type": "string"}}}
    return described


def _one_of(kinds: tuple[type[msgspec.Struct], ...]) -> dict[str, Any]:
    forms = [_reference(kind) for kind in kinds]
    return forms[0] if len(forms) == 1 else {"oneOf": forms}


def _reference(kind: type[msgspec.Struct]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{kind.__name__}"}
