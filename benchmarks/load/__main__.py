"""`python -m benchmarks.load`: an open-loop load for a running sidecar."""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import aiohttp
from rich.console import Console
from rich.live import Live
from rich.text import Text

from .plan import DURATION_MAX_S, RATE_MAX, Mix, arrivals
from .run import Seen, load
from .target import NotALoopback, Target, check

EXAMPLES = """examples:
  margin-scheduler serve --simulate &
  python -m benchmarks.load --rate 1.5 --duration 30
  python -m benchmarks.load --url unix:/run/margin-scheduler/api.sock --rate 20 --repay 0.5 --json
"""


async def run(options: argparse.Namespace) -> dict[str, object]:
    target = Target(options.url, _token(options.token_file))
    try:
        accounts = options.accounts or await target.accounts()
        mix = Mix(
            accounts=accounts,
            assets=options.assets,
            repay_share=options.repay,
            urgent_share=options.urgent,
        )
        planned = arrivals(mix, rate=options.rate, duration_s=options.duration, seed=options.seed)
        with Live(console=Console(stderr=True), refresh_per_second=4) as live:

            def tick(seen: Seen, at_s: float) -> None:
                live.update(_line(seen, at_s, options.duration))

            seen = await load(target, planned, drain_s=options.drain, tick=tick)
    finally:
        await target.aclose()
    return _result(options, accounts, seen)


def _line(seen: Seen, at_s: float, duration_s: float) -> Text:
    accepted = seen.accepted.quantile_ms(0.99)
    finished = seen.finished.quantile_ms(0.5)
    return Text(
        f"{min(at_s, duration_s):5.1f} of {duration_s:.0f} s  sent {seen.sent}  "
        f"durable {seen.accepted.count} (p99 {_ms(accepted)})  "
        f"final {seen.finished.count} (p50 {_ms(finished)})  "
        f"waiting {len(seen.waiting)}  refused {seen.refused.total()}  "
        f"failed {seen.failed.total()}"
    )


def _ms(ms: float | None) -> str:
    return "-" if ms is None else f"{ms:.1f} ms"


def _result(options: argparse.Namespace, accounts: list[str], seen: Seen) -> dict[str, object]:
    return {
        "rate": options.rate,
        "duration_s": options.duration,
        "accounts": len(accounts),
        "seed": options.seed,
        "sent": seen.sent,
        "sent_late_ms": round(seen.late_ms, 2),
        "durable_ms": seen.accepted.as_json(),
        "final_ms": seen.finished.as_json(),
        "states": dict(seen.states.most_common()),
        "refused": dict(seen.refused.most_common()),
        "failed": dict(seen.failed.most_common()),
        "histogram_ms": seen.accepted.bars(),
    }


def _print(result: dict[str, object]) -> None:
    bars = result.pop("histogram_ms")
    for name, value in result.items():
        print(f"{name.replace('_', ' '):14} {value}")
    assert isinstance(bars, list)
    most = max((count for _, _, count in bars), default=1)
    print("time until durable, from when each was due:")
    for low, high, count in bars:
        print(f"{low:9.2f} to {high:9.2f} ms {count:7}  {'#' * round(50 * count / most)}")


def _token(path: str | None) -> str | None:
    return None if path is None else Path(path).read_text("utf-8").strip()


def _bounded(most: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        value = float(text)
        if not 0 < value <= most:
            raise argparse.ArgumentTypeError(f"over 0 and at most {most:g}, not {text}")
        return value

    return parse


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"between 0 and 1, not {text}")
    return value


def _list(text: str) -> list[str]:
    return text.split(",")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.load",
        description="Submissions arrive at a sidecar at a chosen rate, whether or not it answers; "
        "latencies count from when each was due. Stops by itself.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    environment = os.environ.get
    parser.add_argument(
        "--url", default=environment("MARGIN_SCHEDULER_URL", "http://127.0.0.1:8900")
    )
    parser.add_argument("--token-file", default=environment("MARGIN_SCHEDULER_TOKEN_FILE"))
    parser.add_argument("--rate", type=_bounded(RATE_MAX), default=1.5, help="a second (1.5)")
    parser.add_argument(
        "--duration", type=_bounded(DURATION_MAX_S), default=30.0, help="seconds (30)"
    )
    parser.add_argument(
        "--drain", type=_bounded(600), default=30.0, help="seconds to wait for outcomes (30)"
    )
    parser.add_argument("--accounts", type=_list, help="A,B,... (all that the sidecar has)")
    parser.add_argument("--assets", type=_list, default=["USDT", "BTC", "ETH"])
    parser.add_argument("--repay", type=_share, default=0.3, help="share of repayments (0.3)")
    parser.add_argument("--urgent", type=_share, default=0.05, help="share of urgent ones (0.05)")
    parser.add_argument("--seed", type=int, default=0, help="of what arrives when (0)")
    parser.add_argument(
        "--anywhere", action="store_true", help="load a sidecar that is not on this machine"
    )
    parser.add_argument("--json", action="store_true", help="one JSON document")
    options = parser.parse_args()
    try:
        check(options.url, anywhere=options.anywhere)
        result = asyncio.run(run(options))
    except (NotALoopback, OSError, aiohttp.ClientError) as error:
        print(error, file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps(result))
    else:
        _print(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
