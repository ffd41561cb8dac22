"""The report's pictures, from its results; each as PNG and as SVG."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from .side_by_side.clients import CLIENTS

OURS = {"embedded", "sidecar"}
OUR_COLOUR, THEIR_COLOUR, BAD_COLOUR, PALE = "#1f6f54", "#8a94a0", "#b3261e", "#d5dae0"
DPI = 150


def draw(results: Mapping[str, Any], folder: Path) -> list[str]:
    """Draws what the results have; the names of the files, without their endings."""
    drawn = []
    works = {work["name"]: work for work in results.get("side_by_side", [])}
    if "burst" in works:
        drawn.append(_save(folder, "burst", _burst(works["burst"], works.get("lost_answers"))))
    if works:
        drawn.append(_save(folder, "weight", _weight(list(works.values()))))
    if "cpu" in results:
        drawn.append(_save(folder, "growth", _growth(results["cpu"])))
    return drawn


def _burst(burst: Mapping[str, Any], lossy: Mapping[str, Any] | None) -> Any:
    """What became of everybody's burst, and what they knew of it when answers got lost."""
    figure, axes = plt.subplots(1, 2 if lossy else 1, figsize=(12 if lossy else 7, 4.6))
    left, right = (axes[0], axes[1]) if lossy else (axes, None)
    _done(left, burst["scores"], burst["says"])
    if lossy and right is not None:
        _known(right, lossy["scores"], "5 % of them never arrive, or their answers get lost")
    figure.tight_layout()
    return figure


def _done(axes: Axes, scores: Sequence[Mapping[str, Any]], says: str) -> None:
    names = [CLIENTS[s["client"]] for s in scores]
    confirmed = [100 * s["confirmed"] / s["asked"] for s in scores]
    axes.barh(names, [100] * len(names), color=PALE)
    axes.barh(names, confirmed, color=[_colour(s) for s in scores])
    for place, score in enumerate(scores):
        took = score["of_ideal"]
        said = f"{took:.2f} of the ideal time" if took else f"gave up on {_lost(score)}"
        axes.text(2, place, said, va="center", fontsize=8, color=_ink(confirmed[place]))
    axes.set_xlim(0, 100)
    axes.set_xlabel("confirmed, % of what was asked")
    _dress(axes, says)


def _known(axes: Axes, scores: Sequence[Mapping[str, Any]], says: str) -> None:
    names = [CLIENTS[s["client"]] for s in scores]
    unknown = [s["not_known"] for s in scores]
    doubled = [s["doubled"] for s in scores]
    once = [u - d for u, d in zip(unknown, doubled, strict=True)]
    axes.barh(names, once, color=BAD_COLOUR, label="loans nobody was told of")
    axes.barh(names, doubled, left=once, color="#e0872b", label="and asked for only once")
    for place, score in enumerate(scores):
        doubt = score["unknown"]
        total = unknown[place]
        axes.text(
            total + 0.1, place, f"{doubt} left in doubt" if doubt else "", va="center", fontsize=8
        )
    axes.set_xlim(0, max(3, *(count + 3 for count in unknown)))
    axes.set_xlabel("transactions")
    axes.legend(loc="upper right", fontsize=8, frameon=False)
    _dress(axes, says)


def _weight(works: Sequence[Mapping[str, Any]]) -> Any:
    """What each confirmed borrow cost of the minute's budget, by work."""
    figure, axes = plt.subplots(1, len(works), figsize=(3.6 * len(works) + 1.5, 4.4), sharey=True)
    for place, (work, axis) in enumerate(zip(works, _listed(axes), strict=True)):
        scores = work["scores"]
        names = [CLIENTS[s["client"]] for s in scores]
        spent = [s["weight_each"] or 0 for s in scores]
        axis.barh(names, spent, color=[_colour(s) for s in scores])
        axis.axvline(1500, color="#444", linewidth=0.8, linestyle=":")
        axis.set_xscale("log")
        axis.set_xlim(1000, max(10_000, *(2 * weight for weight in spent)))
        axis.set_xlabel("weight for each confirmed")
        _dress(axis, work["name"].replace("_", " "), is_first=place == 0)
    figure.tight_layout()
    return figure


def _growth(cpu: Mapping[str, Any]) -> Any:
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True)
    for axis, name, label in (
        (axes[0], "growth_with_accounts", "accounts"),
        (axes[1], "growth_with_queued", "submissions queued before"),
    ):
        points = sorted((int(size), ratio) for size, ratio in cpu[name].items())
        axis.plot(*zip(*points, strict=True), marker="o", color=OUR_COLOUR)
        axis.axhline(1.2, color="#444", linewidth=0.8, linestyle=":")
        axis.set_xscale("log")
        axis.set_ylim(0, 2)
        axis.set_xlabel(label)
        _dress(axis, "processor time of one borrow, relative", is_first=False)
    figure.tight_layout()
    return figure


def _dress(axes: Axes, title: str, *, is_first: bool = True) -> None:
    axes.set_title(title, loc="left", fontsize=10)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(labelsize=9)
    if is_first and not axes.yaxis_inverted():
        axes.invert_yaxis()


def _listed(axes: Any) -> list[Axes]:
    return list(axes) if hasattr(axes, "__iter__") else [axes]


def _colour(score: Mapping[str, Any]) -> str:
    return OUR_COLOUR if score["client"] in OURS else THEIR_COLOUR


def _ink(share: float) -> str:
    return "white" if share > 40 else "#222"


def _lost(score: Mapping[str, Any]) -> str:
    said = ", ".join(f"{count} with {code}" for code, count in score["refused"].items())
    return said or f"{score['unknown']}, unknown"


def _save(folder: Path, name: str, figure: Any) -> str:
    for ending in ("png", "svg"):
        # Without a date, so that the same results make the same file.
        metadata = {"Date": None} if ending == "svg" else {"Software": None}
        figure.savefig(folder / f"{name}.{ending}", dpi=DPI, metadata=metadata)
    plt.close(figure)
    return name
