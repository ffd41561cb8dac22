"""Scores as a table, for a terminal and for a report."""

from collections.abc import Iterable, Mapping

from .clients import CLIENTS
from .judge import Score

HEAD = (
    "client",
    "confirmed",
    "time / ideal",
    "weight each",
    "told no",
    "left in doubt",
    "loans nobody knows of",
    "booked twice",
    "told wrongly",
    "429",
    "418 (banned)",
)


def row(score: Score) -> tuple[str, ...]:
    """The cells under `HEAD`."""
    took = f"{score.of_ideal:.2f}" if score.of_ideal else f"({score.took_s:.1f} s)"
    return (
        CLIENTS[score.client],
        f"{score.confirmed} of {score.asked}",
        took,
        f"{score.weight_each:,.0f}" if score.weight_each else "-",
        _counted(score.refused),
        str(score.unknown),
        str(score.not_known),
        str(score.doubled),
        str(score.wrong),
        str(score.limited),
        str(score.banned),
    )


def markdown(scores: Iterable[Score]) -> str:
    lines = [HEAD, tuple("---" for _ in HEAD), *(row(score) for score in scores)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _counted(codes: Mapping[str, int]) -> str:
    return ", ".join(f"{count} of {code}" for code, count in codes.items()) or "0"
