"""What importing the package costs: `python -m benchmarks.cost.imports`, beside aiohttp's own."""

import argparse
import json
import subprocess
import sys
from statistics import median

_TIMED = """
import time
began = time.perf_counter()
import {package}
print(time.perf_counter() - began)
"""


def seconds(package: str, runs: int) -> float:
    """The median of `runs` fresh interpreters."""
    command = [sys.executable, "-c", _TIMED.format(package=package)]
    took = (
        subprocess.run(command, check=True, capture_output=True, text=True) for _ in range(runs)
    )
    return median(float(run.stdout) for run in took)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.cost.imports",
        description="How long `import scheduler` takes, against `import aiohttp`.",
        epilog="example: python -m benchmarks.cost.imports --runs 21 --json",
    )
    parser.add_argument("--runs", type=int, default=11, help="interpreters of each (11)")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    options = parser.parse_args()
    ours_s, aiohttp_s = seconds("scheduler", options.runs), seconds("aiohttp", options.runs)
    ratio = round(ours_s / aiohttp_s, 3)
    if options.json:
        print(json.dumps({"scheduler_s": ours_s, "aiohttp_s": aiohttp_s, "ratio": ratio}))
    else:
        print(f"import scheduler {ours_s:.3f} s, import aiohttp {aiohttp_s:.3f} s: {ratio}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
