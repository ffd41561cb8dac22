"""`python -m benchmarks`: everything, and a report of it in benchmarks/report/."""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from .plots import draw
from .report import text
from .results import merged

REPORT = Path(__file__).parent / "report"
COMPARED = (
    "margin-scheduler",
    "aiohttp",
    "aiolimiter",
    "binance-sdk-margin-trading",
    "ccxt",
    "pyrate-limiter",
    "python-binance",
    "tenacity",
)

PARTS = {
    "imports": "benchmarks.cost.imports",
    "memory": "benchmarks.cost.memory",
    "cpu": "benchmarks.cost.cpu",
    "sidecar": "benchmarks.sidecar",
    "journal": "benchmarks.journal",
    "growth": "benchmarks.growth",
    "side_by_side": "benchmarks.side_by_side",
}
"""What each part of the report is made by, the longest last."""
SEEDED = {"sidecar", "growth", "side_by_side"}


def command(part: str, options: argparse.Namespace) -> list[str]:
    """What measures a part, after `python`."""
    arguments = ["-m", PARTS[part]]
    if part in SEEDED:
        arguments += ["--seed", str(options.seed)]
    return [*arguments, *options.options, "--json"]


def measure(part: str, options: argparse.Namespace) -> tuple[Any, dict[str, object]]:
    """The part's result, as its command prints it, and how it was taken. Raises
    CalledProcessError."""
    asked, load, began_s = command(part, options), os.getloadavg()[0], time.monotonic()
    done = subprocess.run([sys.executable, *asked], check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout), {
        "measured": time.strftime("%Y-%m-%d", time.gmtime()),
        "commit": _commit(),
        "load": round(load, 2),
        "took_s": round(time.monotonic() - began_s),
        "command": again(part, options),
    }


def again(part: str, options: argparse.Namespace) -> str:
    """What measures a part again, into the report."""
    own = ["--", *options.options] if options.options else []
    return " ".join(["python -m benchmarks --only", part, "--seed", str(options.seed), *own])


def machine() -> dict[str, object]:
    return {
        "cores": os.cpu_count(),
        "processor": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
        "packages": {name: found for name in COMPARED if (found := _version(name))},
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _commit() -> str:
    """Of the checkout that is measured; with a "+" if something in it is not committed, the report
    excepted."""
    try:
        commit = _git("rev-parse", "--short", "HEAD")
        changed = _git("status", "--porcelain", "--", ":/", ":(top,exclude)benchmarks/report")
    except (OSError, subprocess.CalledProcessError):
        return "-"
    return f"{commit}+" if changed else commit


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(REPORT.parent), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Run every benchmark and write benchmarks/report/. Takes about 25 minutes on a "
        "machine that does nothing else. What is not measured again stays in the report.",
        epilog="example: uv run --group bench python -m benchmarks --only side_by_side -- "
        "--work burst --clients embedded,sidecar,plain_loop",
    )
    parser.add_argument("--only", choices=[*PARTS], action="append", help="this part; repeatable")
    parser.add_argument("--seed", type=int, default=5, help="of what is drawn (5)")
    parser.add_argument("--draw", action="store_true", help="write again from the kept results")
    parser.add_argument(
        "--to", type=Path, default=REPORT, metavar="FOLDER", help="(benchmarks/report)"
    )
    parser.add_argument(
        "options", nargs="*", metavar="-- OPTION", help="of the one part that --only names"
    )
    options = parser.parse_args()
    if options.options and len(options.only or ()) != 1:
        parser.error(f"{options.options[0]}: options are those of one part; name it with --only")
    options.to.mkdir(parents=True, exist_ok=True)
    kept = options.to / "results.json"
    results: dict[str, Any] = json.loads(kept.read_text("utf-8")) if kept.exists() else {}
    for part in () if options.draw else options.only or PARTS:
        print(f"{part} ...", file=sys.stderr)
        try:
            found, taken = measure(part, options)
        except subprocess.CalledProcessError as error:
            print(f"{part}: {error}", file=sys.stderr)
            return 1
        results = merged(results, part, found)
        results["machine"], results["seed"] = machine(), options.seed
        results.setdefault("taken", {})[part] = taken
        kept.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    if not results:
        parser.error(f"--draw: there are no results in {options.to}")
    readme = options.to / "README.md"
    readme.write_text(text(results, draw(results, options.to)), "utf-8")
    print(readme)
    return 0


if __name__ == "__main__":
    sys.exit(main())
