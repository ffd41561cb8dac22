"""Plants each defect and tells which check finds it.

`python -m tests.simulate.defects` plants every one, in a process of its own, and searches its
first finding; with `--write` it records those in `planted.py` and in `tests/README.md`.
"""

import argparse
import importlib
import io
import multiprocessing
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, TypeAlias

import pytest

from ..journal import power_cuts
from . import crashes, matrix
from .__main__ import run_seed
from .planted import DEFECTS, Defect

ROOT = Path(__file__).parents[2]
PLANTED = Path(__file__).with_name("planted.py")
README = ROOT / "tests" / "README.md"
LIVES = ("plain", "looks", "http", "sidecar")
CUTS = 20
"""In a row for one number: about a third of them would do."""
PATIENCE_S = 300
"""For one search; a defect may make something go on for ever."""
BEGIN, END = "| defect | file | found by | seed |\n|---|---|---|---|\n", "\n\n"


class Misplaced(AssertionError):
    """The text that a defect changes is not in its file, or not once."""


Finding: TypeAlias = tuple[int, str]
"""Which life, cell or point finds a defect, and what it says."""


def search(defect: Defect, by: str, first: int, seeds: int) -> Finding | None:
    """The first of the seeds with which the check finds the defect. In a process of its own."""
    context = multiprocessing.get_context("fork")
    with context.Pool(1) as pool:
        return pool.apply_async(_search, (defect, by, first, seeds)).get(PATIENCE_S)


def _search(defect: Defect, by: str, first: int, seeds: int) -> Finding | None:
    plant(defect)
    _forget()
    if by.endswith(".py") or "::" in by:
        said = _failed_test(by)
        return None if said is None else (0, said)
    for seed, violations in runs(by, first, seeds):
        if violations:
            return seed, violations[0].strip().splitlines()[0]
    return None


def plant(defect: Defect) -> None:
    """From here on this process runs the rules with the defect in them.

    The code of the changed functions is put in the place of the sound one, so that whoever has
    imported them has the defect too.
    """
    name = ".".join(["scheduler", *Path(defect.file).with_suffix("").parts])
    sound = importlib.import_module(name)
    broken = ModuleType(name)
    broken.__package__ = sound.__package__
    broken.__file__ = sound.__file__
    sys.modules[name] = broken  # dataclasses look their module up there
    exec(compile(patched(defect), str(sound.__file__), "exec", dont_inherit=True), vars(broken))
    sys.modules[name] = sound
    for each, value in vars(broken).items():
        _replace(vars(sound), each, value, name)


def _forget() -> None:
    """What this process's parent has found out with the sound rules."""
    for module in _loaded():
        for value in list(vars(module).values()):
            if hasattr(value, "cache_clear") and callable(value):
                value.cache_clear()


def _loaded() -> list[ModuleType]:
    return [
        module
        for name, module in list(sys.modules.items())
        if name.partition(".")[0] in {"scheduler", "tests"} and isinstance(module, ModuleType)
    ]


def _replace(there: dict[str, Any], name: str, value: Any, module: str) -> None:
    if name not in there:
        there[name] = value
    elif isinstance(value, FunctionType):
        there[name].__code__ = value.__code__
    elif isinstance(value, type):
        if value.__module__ == module:
            _replace_methods(there[name], value)
    elif isinstance(value, str | int | tuple) and not name.startswith("__"):
        sound = there[name]
        for imported in _loaded():  # whoever has it has it under its name
            if vars(imported).get(name) is sound:
                setattr(imported, name, value)


def _replace_methods(sound: type, broken: type) -> None:
    for name, value in vars(broken).items():
        old, new = vars(sound).get(name), value
        if isinstance(old, property) and isinstance(new, property):
            old, new = old.fget, new.fget
        if not (isinstance(old, FunctionType) and isinstance(new, FunctionType)):
            continue
        # What a dataclass generates closes over its class, and is not what is planted in.
        if old.__code__.co_freevars == new.__code__.co_freevars:
            old.__code__ = new.__code__


def patched(defect: Defect) -> str:
    """The file's text with the defect in it."""
    source = (ROOT / "scheduler" / defect.file).read_text("utf-8")
    times = source.count(defect.sound)
    if times != 1:
        found = "is not there any more" if not times else f"stands there {times} times"
        raise Misplaced(
            f'"{defect.name}": the text to change in scheduler/{defect.file} {found}. Write into '
            f"{PLANTED.relative_to(ROOT)} what it is where the rule stands now, and have the seed "
            f'found by `python -m tests.simulate.defects --write --only "{defect.name}"`. '
            f"The text was:\n{defect.sound}"
        )
    return source.replace(defect.sound, defect.broken)


def runs(by: str, first: int, seeds: int) -> Iterator[tuple[int, list[str]]]:
    """Each run of a check, with what was wrong in it."""
    numbers = range(first, first + seeds)
    if by in LIVES:
        for seed in numbers:
            yield seed, run_seed(seed, by).violations
    elif by == "matrix":
        for number, cell in enumerate(matrix.CELLS):
            if number in numbers:
                yield number, matrix.run_task((0, (cell,)))[1]
    elif by == "crashes":
        for point in numbers:
            yield point, crashes.run_task(((point,), "memory", crashes.WORK))[1].violations
    elif by == "power cuts":
        with tempfile.TemporaryDirectory() as folder:
            for seed in numbers:
                cuts = range(CUTS * seed, CUTS * (seed + 1))
                cut = power_cuts.campaign(Path(folder, "journal.db"), cuts)
                yield seed, cut.losses
    else:
        raise AssertionError(f"no check is called {by}")


def _failed_test(node: str) -> str | None:
    """The first test of a file that fails, None if none does."""
    said = io.StringIO()
    os.chdir(ROOT)
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(said), redirect_stderr(said):
        options = ["-x", "-q", "--assert=plain", "-p", "no:cacheprovider"]
        options += ["--basetemp", f"{folder}/t", node]
        code = pytest.main(options)
    if code == pytest.ExitCode.OK:
        return None
    failed = re.findall(r"^(?:FAILED|ERROR) (\S+)", said.getvalue(), flags=re.MULTILINE)
    assert failed, said.getvalue()[-2_000:]
    return str(failed[0])


def rows() -> str:
    """The table of the README."""
    return BEGIN + "\n".join(
        f"| {d.name} | {d.file} | {_by(d)} | {'' if '/' in d.by else d.seed} |" for d in DEFECTS
    )


def _by(defect: Defect) -> str:
    return f"`{defect.by.removeprefix('tests/')}`" if "/" in defect.by else defect.by


def write(found: dict[str, int]) -> None:
    """Record seeds, by the defects' names, where they belong."""
    text = PLANTED.read_text("utf-8")
    for name, seed in found.items():
        start = text.index(f'name="{name}"')
        rest = re.sub(r"seed=\d+", f"seed={seed}", text[start:], count=1)
        text = text[:start] + rest
    PLANTED.write_text(text, "utf-8")
    namespace: dict[str, Any] = {"__name__": __package__}
    exec(compile(text, str(PLANTED), "exec"), namespace)
    globals()["DEFECTS"] = namespace["DEFECTS"]
    readme = README.read_text("utf-8")
    start = readme.index(BEGIN)
    end = readme.index(END, start)
    README.write_text(readme[:start] + rows() + readme[end:], "utf-8")


def _task(task: tuple[int, str, int]) -> tuple[str, str, Finding | None, float]:
    # Plain values go back: the classes of this process are others than those of its parent.
    place, by, seeds = task
    began = time.perf_counter()
    name = DEFECTS[place].name
    try:
        found = _search(DEFECTS[place], by, 0, seeds)
    except Exception as error:
        found = None
        print(
            f"{name}: {error}" if isinstance(error, Misplaced) else f"{name}: {error!r}", flush=True
        )
    return name, by, found, time.perf_counter() - began


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulate.defects",
        description="Plant each defect and search for the first seed that finds it.",
        epilog="example: python -m tests.simulate.defects --seeds 2000 --only fence",
    )
    parser.add_argument("--seeds", type=int, default=1000, help="how many to try (1000)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes (the cores)")
    parser.add_argument("--only", default="", help="defects whose name contains this")
    parser.add_argument("--recorded", default="", help="defects that this check is said to find")
    parser.add_argument("--by", default="", help="this check, in the place of the recorded one")
    parser.add_argument("--write", action="store_true", help="record what was found")
    options = parser.parse_args(arguments)
    tasks = [
        (place, options.by or defect.by, options.seeds)
        for place, defect in enumerate(DEFECTS)
        if options.only in defect.name and options.recorded in {"", defect.by}
    ]
    found: dict[str, int] = {}
    context = multiprocessing.get_context("fork")
    with context.Pool(options.jobs, maxtasksperchild=1) as pool:
        for name, by, finding, took_s in pool.imap(_task, tasks, chunksize=1):
            said = "NOT FOUND"
            if finding is not None:
                said = f"{by} {finding[0]}: {finding[1][:110]}"
                found[name] = finding[0]
            print(f"{name:60} {took_s:6.1f} s  {said}", flush=True)
    print(f"{len(found)} of {len(tasks)} found")
    if options.write:
        write(found)
    return 1 if len(found) < len(tasks) else 0


if __name__ == "__main__":
    sys.exit(main())
