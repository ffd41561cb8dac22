"""What importing the package costs: `python -m benchmarks.cost.imports`, beside aiohttp's own."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from statistics import median

_TIMED = """
import time
began = time.process_time()
import {package}
print(time.process_time() - began)
"""


def seconds(package: str, compiled: str) -> float:
    """Processor time in a fresh interpreter. Its files are compiled into the folder `compiled`
    first, as they are wherever they were installed; a checkout's may never be."""
    command = [sys.executable, "-c", _TIMED.format(package=package)]
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": compiled}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return float(done.stdout)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.cost.imports",
        description="Processor time of `import scheduler`, against `import aiohttp`: the least of "
        "several fresh interpreters.",
        epilog="example: python -m benchmarks.cost.imports --runs 21 --json",
    )
    parser.add_argument("--runs", type=int, default=11, help="interpreters of each (11)")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as compiled:
        seconds("scheduler", compiled)
        # In turns, so that what else the machine does falls on both.
        pairs = [
            (seconds("scheduler", compiled), seconds("aiohttp", compiled))
            for _ in range(options.runs)
        ]
    ours_s, aiohttp_s = (round(min(times), 4) for times in zip(*pairs, strict=True))
    ratio = round(ours_s / aiohttp_s, 3)
    middle = round(median(ours for ours, _ in pairs) / median(other for _, other in pairs), 3)
    if options.json:
        found = {"scheduler_s": ours_s, "aiohttp_s": aiohttp_s, "ratio": ratio, "medians": middle}
        print(json.dumps(found))
    else:
        print(
            f"import scheduler {ours_s:.3f} s, import aiohttp {aiohttp_s:.3f} s of processor time:"
            f" {ratio} (medians {middle})"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
