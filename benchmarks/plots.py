"""The report's pictures, from its results; each as PNG and as SVG.

Colours are Okabe and Ito's, which people who see colours differently can tell apart; no meaning
rests on colour alone.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from .goals import OURS
from .side_by_side.clients import CLIENTS

GREEN, ORANGE, VERMILION, BLUE = "#009e73", "#e69f00", "#d55e00", "#0072b2"
GREY, PALE, INK = "#7f8790", "#e6e9ec", "#222222"
DPI = 150
WORKS = {
    "burst": "100 at once, one account",
    "over_the_minute": "400, one account",
    "accounts": "1,000, ten accounts",
    "starved": "one asset starved",
    "lost_answers": "5 % of answers lost",
    "at_once": "answers at once",
}
"""What each is called over a narrow column, in the report's order."""

Score = Mapping[str, Any]


def draw(results: Mapping[str, Any], folder: Path) -> list[str]:
    """Draws what the results have; the names of the files, without their endings."""
    # The same results make the same files.
    plt.rcParams.update({"svg.hashsalt": "margin-scheduler", "svg.fonttype": "none"})
    plt.rcParams.update({"font.size": 9, "axes.titlesize": 10})
    drawn = []
    played = {work["name"]: work for work in results.get("side_by_side", [])}
    works = {name: played[name] for name in WORKS if name in played}
    if "burst" in works:
        drawn.append(_save(folder, "burst", _burst(works["burst"], works.get("lost_answers"))))
    if works:
        drawn.append(_save(folder, "time", _time(works)))
        drawn.append(_save(folder, "weight", _weight(works)))
    if panels := _growing(results):
        drawn.append(_save(folder, "growth", _growth(panels)))
    return drawn


def _burst(burst: Mapping[str, Any], lossy: Mapping[str, Any] | None) -> Figure:
    """What became of everybody's burst, and what they knew of it when answers got lost."""
    columns = 2 if lossy else 1
    figure, axes = plt.subplots(1, columns, figsize=(6.2 * columns, 4.8), squeeze=False)
    _done(axes[0][0], burst["scores"])
    axes[0][0].set_title(f"{burst['says']}, all at once", loc="left")
    if lossy:
        _known(axes[0][1], lossy["scores"])
        axes[0][1].set_title("the same, and the connection dies on 5 % of them", loc="left")
    figure.legend(loc="lower right", ncols=2, frameon=False)
    figure.tight_layout(w_pad=3, rect=(0, 0.05, 1, 1))
    return figure


def _done(axes: Axes, scores: Sequence[Score]) -> None:
    confirmed = [100 * s["confirmed"] / s["asked"] for s in scores]
    axes.barh(_names(scores), [100] * len(scores), color=PALE)
    axes.barh(_names(scores), confirmed, color=[_colour(s) for s in scores])
    for place, score in enumerate(scores):
        is_all = confirmed[place] == 100
        said = f"{score['of_ideal']:.2f} of the ideal time" if is_all else f"gave up: {_no(score)}"
        start = 2 if is_all else confirmed[place] + 2
        axes.text(start, place, said, va="center", fontsize=8.5, color="white" if is_all else INK)
    axes.set_xlim(0, 100)
    axes.set_xlabel("confirmed, % of what was asked")
    _dress(axes)


def _known(axes: Axes, scores: Sequence[Score]) -> None:
    """Bars of what is wrong; where nothing is, it says so."""
    doubled = [s["doubled"] for s in scores]
    lost = [s["not_known"] - s["doubled"] for s in scores]
    axes.barh(_names(scores), lost, color=VERMILION, label="booked, and nobody was told")
    axes.barh(
        _names(scores), doubled, left=lost, color=ORANGE, hatch="///", edgecolor="white",
        label="booked again for one ask",
    )  # fmt: skip
    for place, score in enumerate(scores):
        said = [f"{score['unknown']} left in doubt"] if score["unknown"] else []
        said += [f"{score['doubled']} booked twice"] if score["doubled"] else []
        if score["confirmed"] + 5 < score["asked"] - score["unknown"]:
            said.append(f"only {score['confirmed']} of {score['asked']} confirmed")
        if not said and not score["not_known"]:
            said = ["everybody knows, nothing twice"]
        axes.text(score["not_known"] + 0.15, place, ", ".join(said), va="center", fontsize=8.5)
    most = max(score["not_known"] for score in scores)
    axes.set_xlim(0, max(8, 2 * most))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel(f"loans, of {scores[0]['asked']} asked for")
    _dress(axes)


def _time(works: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Time to finish, of the ideal; of who did not finish, what was confirmed."""
    figure, axes = _columns(works)
    for axis, (name, work) in zip(axes, works.items(), strict=True):
        for place, score in enumerate(work["scores"]):
            if score["of_ideal"]:
                axis.plot(score["of_ideal"], place, "o", markersize=7, color=_colour(score))
                said, at = f"{score['of_ideal']:.2f}", score["of_ideal"] * 1.15
                axis.text(at, place, said, va="center", fontsize=8)
            else:
                said = f" only {score['confirmed']} of {score['asked']}"
                axis.text(1, place, said, va="center", fontsize=8)
        axis.axvline(1, color=INK, linewidth=0.8, linestyle=":")
        axis.set_xscale("log")
        axis.set_xlim(0.9, 24)
        axis.set_xticks([1, 2, 5, 10], ["1", "2", "5", "10"])
        axis.minorticks_off()
        axis.set_xlabel("time / ideal")
        _dress(axis, is_first=axis is axes[0])
        axis.set_title(WORKS[name], loc="left")
    figure.tight_layout()
    return figure


def _weight(works: Mapping[str, Mapping[str, Any]]) -> Figure:
    """What each confirmed borrow cost of the minute's budget, by work."""
    figure, axes = _columns(works)
    for axis, (name, work) in zip(axes, works.items(), strict=True):
        for place, score in enumerate(work["scores"]):
            if (spent := score["weight_each"]) is not None:
                axis.plot(spent, place, "o", markersize=7, color=_colour(score))
        axis.axvline(1500, color=INK, linewidth=0.8, linestyle=":")
        axis.set_xscale("log")
        axis.set_xlim(1_000, 10_000_000)
        axis.set_xticks([1e3, 1e4, 1e5, 1e6, 1e7], ["1k", "10k", "100k", "1M", "10M"])
        axis.minorticks_off()
        axis.set_xlabel("weight a confirmed borrow")
        _dress(axis, is_first=axis is axes[0])
        axis.set_title(WORKS[name], loc="left")
    figure.tight_layout()
    return figure


def _columns(works: Mapping[str, Mapping[str, Any]]) -> tuple[Figure, list[Axes]]:
    """One panel a work, all with the same clients in the same rows."""
    figure, axes = plt.subplots(
        1, len(works), figsize=(2.35 * len(works) + 1.8, 4.2), sharey=True, squeeze=False
    )
    listed = list(axes[0])
    names = _names(next(iter(works.values()))["scores"])
    for axis in listed:
        axis.set_ylim(len(names) - 0.5, -0.5)
        for place in range(len(names)):
            axis.axhline(place, color=PALE, linewidth=0.8, zorder=0)
    listed[0].set_yticks(range(len(names)), names)
    return figure, listed


Lines = Mapping[str, Sequence[tuple[float, float]]]


def _growing(results: Mapping[str, Any]) -> list[tuple[str, str, str, Lines]]:
    """Title, axes and lines of each panel there are figures for."""
    panels: list[tuple[str, str, str, Lines]] = []
    if cpu := results.get("cpu"):
        relative = "processor time, relative"
        accounts = {"one borrow": _points(cpu["borrow"], "size", "growth")}
        panels.append(("more accounts", "accounts", relative, accounts))
        queue = {
            "one borrow done, one submitted": _points(cpu["queued"], "size", "growth"),
            "one submitted (from 1,000)": _points(cpu["submit"], "size", "growth"),
        }
        panels.append(("a longer queue", "queued submissions", relative, queue))
    if rows := results.get("growth", {}).get("rows"):
        calls = {
            "submit": _points(rows, "entries", "submit_ms"),
            "get by key": _points(rows, "entries", "get_ms"),
            "list of 100": _points(rows, "entries", "list_ms"),
        }
        panels.append(("a larger journal: calls", "entries", "milliseconds", calls))
        whole = {
            "ready after a start": _points(rows, "entries", "ready_s"),
            "journal verify": _points(rows, "entries", "verify_s"),
        }
        panels.append(("a larger journal: the file", "entries", "seconds", whole))
    return panels


def _points(rows: Sequence[Mapping[str, Any]], x: str, y: str) -> list[tuple[float, float]]:
    return sorted((row[x], row[y]) for row in rows)


def _growth(panels: Sequence[tuple[str, str, str, Lines]]) -> Figure:
    figure, axes = plt.subplots(1, len(panels), figsize=(3.6 * len(panels), 3.8), squeeze=False)
    for axis, (title, x, y, lines) in zip(axes[0], panels, strict=True):
        looks = zip((BLUE, VERMILION, GREEN), ("o", "s", "^"), strict=True)
        for (label, points), (colour, marker) in zip(lines.items(), looks, strict=False):
            axis.plot(*zip(*points, strict=True), marker=marker, color=colour, label=label)
        axis.set_xscale("log")
        if y in {"seconds", "milliseconds"}:
            axis.set_yscale("log")
            axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        else:
            most = max(value for points in lines.values() for _, value in points)
            axis.set_ylim(0, max(2.0, 1.1 * most))
            axis.axhline(1.2, color=INK, linewidth=0.8, linestyle=":")
            axis.text(axis.get_xlim()[0], 1.22, " goal 1.2", fontsize=8, va="bottom")
        axis.set_xlabel(x)
        axis.set_ylabel(y)
        axis.set_title(title, loc="left")
        axis.legend(frameon=False, fontsize=8, loc="best")
        _spare(axis)
    figure.tight_layout()
    return figure


def _dress(axes: Axes, *, is_first: bool = True) -> None:
    _spare(axes)
    axes.tick_params(axis="y", length=0)
    if is_first and not axes.yaxis_inverted():
        axes.invert_yaxis()
    if is_first:
        for label in axes.get_yticklabels()[: len(OURS)]:
            label.set_fontweight("bold")


def _spare(axes: Axes) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _names(scores: Sequence[Score]) -> list[str]:
    return [CLIENTS[score["client"]] for score in scores]


def _colour(score: Score) -> str:
    return GREEN if score["client"] in OURS else GREY


def _no(score: Score) -> str:
    said = [f"{count} told {code}" for code, count in score["refused"].items()]
    return ", ".join([*said, *([f"{score['unknown']} left in doubt"] if score["unknown"] else [])])


def _save(folder: Path, name: str, figure: Figure) -> str:
    for ending in ("png", "svg"):
        metadata = {"Date": None} if ending == "svg" else {"Software": None}
        figure.savefig(folder / f"{name}.{ending}", dpi=DPI, metadata=metadata)
    plt.close(figure)
    return name
