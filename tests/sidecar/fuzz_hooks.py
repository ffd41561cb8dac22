"""Loaded by schemathesis: waits are cut short, or a thousand cases would take an hour; and half of
the accounts and assets exist, or hardly a look would get as far as the exchange."""

from typing import Any

import schemathesis

WAIT_MAX_S = 0.02
EXIST = {"account": "main", "asset": "USDT"}


@schemathesis.hook
def map_query(context: Any, query: dict[str, Any] | None) -> dict[str, Any] | None:
    wait = (query or {}).get("wait")
    if query and isinstance(wait, (int, float)) and WAIT_MAX_S < wait <= 60:
        return {**query, "wait": WAIT_MAX_S}
    return query


@schemathesis.hook
def map_path_parameters(context: Any, given: dict[str, Any] | None) -> dict[str, Any] | None:
    return given and {
        name: EXIST[name] if name in EXIST and len(str(value)) % 2 else value
        for name, value in given.items()
    }


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:
    within_ms = body.get("within_ms") if isinstance(body, dict) else None
    if type(within_ms) is int and WAIT_MAX_S * 1000 < within_ms <= 60_000:
        return {**body, "within_ms": round(WAIT_MAX_S * 1000)}
    return body
