"""What the benchmarks are held against: each goal, the figure, and whether it is met."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

OURS = ("embedded", "sidecar")


@dataclass(frozen=True, slots=True)
class Goal:
    """One row; `figures` are what was measured, each held against `limit`."""

    what: str
    limit: float
    figures: Mapping[str, float | None]
    """By what it was measured on; None where not all was confirmed."""
    at_least: bool = False

    @property
    def is_met(self) -> bool:
        return all(figure is not None and self._holds(figure) for figure in self.figures.values())

    def _holds(self, figure: float) -> bool:
        return figure >= self.limit if self.at_least else figure <= self.limit


def goals(results: Mapping[str, Any]) -> Iterator[Goal]:
    """Those that the results have figures for."""
    ours = {
        work["name"]: {s["client"]: s for s in work["scores"] if s["client"] in OURS}
        for work in results.get("side_by_side", [])
    }
    if found := ours.get("burst"):
        yield Goal("burst of 100, time of the ideal", 1.05, _of(found, "of_ideal"))
    if found := ours.get("over_the_minute"):
        what = "400 at one account, time of what the budget allows"
        yield Goal(what, 1.02, _of(found, "of_ideal"))
    if found := ours.get("lost_answers"):
        yield Goal("callers left in doubt by lost answers", 0, _of(found, "unknown"))
        yield Goal("loans nobody was told of", 0, _of(found, "not_known"))
        yield Goal("loans booked twice", 0, _of(found, "doubled"))
    if cpu := results.get("cpu"):
        what = "processor time of the scheduler itself, of a bare signed post"
        yield Goal(what, 0.25, {"one account": cpu["of_a_bare_post"]["least"]})
        yield Goal("its growth with accounts", 1.2, _grown(cpu["borrow"]))
        yield Goal("its growth with the queue", 1.2, _grown(cpu["queued"]))
    if memory := results.get("memory"):
        yield Goal(
            "bytes a queued submission, journal on disk",
            2_048,
            {f"{row['queued']:,}": row["sqlite"] for row in memory["rows"]},
        )
    if imports := results.get("imports"):
        what = "`import scheduler`, of `import aiohttp`"
        yield Goal(what, 1.5, {"least": imports["ratio"], "median": imports["medians"]})
    for row in results.get("growth", {}).get("rows", []):
        if row["entries"] == 100_000:
            what = "ready on 100,000 entries, 1,000 of them unfinished, in seconds"
            yield Goal(what, 1, {"start": row["ready_s"]})
    if sidecar := results.get("sidecar"):
        shares = {
            w["way"]: w["share"] for w in sidecar["ways"] if w["way"] in {"native", "gateway"}
        }
        what = "throughput of the sidecar, of a bare forwarder"
        yield Goal(what, 0.4, shares, at_least=True)
        added_ms = {
            w["way"]: w["added_p50_ms"]
            for w in sidecar["ways"]
            if w["way"] in {"native", "gateway"}
        }
        yield Goal("latency that the sidecar adds, p50, in milliseconds", 2, added_ms)


def _of(scores: Mapping[str, Mapping[str, Any]], name: str) -> dict[str, float | None]:
    return {client: score[name] for client, score in scores.items()}


def _grown(rows: list[Mapping[str, Any]]) -> dict[str, float | None]:
    return {f"{row['size']:,}": row["growth"] for row in rows[1:]}
