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

from .report import write

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

PARTS: dict[str, tuple[str, ...]] = {
    "side_by_side": ("benchmarks.side_by_side",),
    "sidecar": ("benchmarks.sidecar",),
    "cpu": ("benchmarks.cost.cpu",),
    "memory": ("benchmarks.cost.memory",),
    "imports": ("benchmarks.cost.imports",),
    "recovery": ("benchmarks.recovery",),
    "journal": ("benchmarks.journal",),
}
"""What each part of the report is made by."""


def measure(part: str, options: argparse.Namespace) -> Any:
    """The part's result, as its command prints it. Raises CalledProcessError."""
    command = [sys.executable, "-m", *PARTS[part], "--json"]
    if part == "side_by_side":
        command += ["--size", str(options.size), "--seed", str(options.seed)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def machine() -> dict[str, object]:
    return {
        "cores": os.cpu_count(),
        "processor": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
        "packages": {name: found for name in COMPARED if (found := _version(name))},
        "measured": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Run every benchmark and write benchmarks/report/. Takes about half an hour.",
        epilog="example: uv run --group bench python -m benchmarks --only side_by_side --size 20",
    )
    parser.add_argument("--only", choices=[*PARTS], action="append", help="this part; repeatable")
    parser.add_argument("--size", type=int, default=100, help="borrows in the plain burst (100)")
    parser.add_argument("--seed", type=int, default=5, help="of the simulated exchange (5)")
    parser.add_argument("--draw", action="store_true", help="write again from the kept results")
    options = parser.parse_args()
    REPORT.mkdir(exist_ok=True)
    kept = REPORT / "results.json"
    results: dict[str, Any] = json.loads(kept.read_text("utf-8")) if kept.exists() else {}
    for part in () if options.draw else options.only or PARTS:
        print(f"{part} ...", file=sys.stderr)
        try:
            results[part] = measure(part, options)
        except subprocess.CalledProcessError as error:
            print(f"{part}: {error}", file=sys.stderr)
            return 1
        results["machine"] = machine()
        results["seed"] = options.seed
        kept.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    print(write(results, REPORT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
