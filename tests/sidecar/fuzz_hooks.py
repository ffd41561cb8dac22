"""Loaded by schemathesis: waits are cut short, or a thousand cases would take an hour."""

from typing import Any

import schemathesis

WAIT_MAX_S = 0.02


@schemathesis.hook
def map_query(context: Any, query: dict[str, Any] | None) -> dict[str, Any] | None:
    wait = (query or {}).get("wait")
    if query and isinstance(wait, (int, float)) and WAIT_MAX_S < wait <= 60:
        return {**query, "wait": WAIT_MAX_S}
    return query
