"""The results that are kept: every part's last, wherever each was measured."""

from collections.abc import Mapping, Sequence
from typing import Any

from .side_by_side.clients import CLIENTS


def merged(results: Mapping[str, Any], part: str, found: Any) -> dict[str, Any]:
    """The results with what was found for a part. Of `side_by_side`, what was not played again
    stays: works, and clients within them."""
    if part == "side_by_side":
        found = _played(results.get(part, []), found)
    return {**results, part: found}


def _played(
    before: Sequence[Mapping[str, Any]], again: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    works = {work["name"]: dict(work) for work in before}
    for work in again:
        kept = works.get(work["name"], {"scores": []})
        # Another size or another wording is another work.
        scores = kept["scores"] if kept.get("says") == work["says"] else []
        by_client = {score["client"]: score for score in [*scores, *work["scores"]]}
        ordered = [by_client[name] for name in CLIENTS if name in by_client]
        works[work["name"]] = {**work, "scores": ordered}
    return list(works.values())
