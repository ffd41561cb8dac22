"""`python -m benchmarks.load`: an open-loop load for a running sidecar."""

import argparse
import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
from rich.console import Console
from rich.live import Live
from rich.text import Text

from .plan import ASSETS, DURATION_MAX_S, RATE_MAX, Mix, arrivals
from .run import Seen, load
from .target import BadTarget, Target, check

EXAMPLES = """examples:
  margin-scheduler serve --simulate &
  python -m benchmarks.load --rate 1.5 --duration 30
  python -m benchmarks.load --url unix:/run/margin-scheduler/api.sock --rate 20 --repay 0.5 --json

One account is worked through at most 2 a second, and its simulator may refuse repayments of what
was not borrowed. Ctrl-C prints what there is by then. Ends with 1 if anything went unanswered.
"""


async def run(options: argparse.Namespace) -> dict[str, object]:
    """Raises OSError where the token's file cannot be read, aiohttp.ClientError where there is no
    sidecar."""
    target, stop = Target(options.url, _token(options.token_file)), asyncio.Event()
    with suppress(NotImplementedError):  # Windows: Ctrl-C ends it there without a word
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop.set)
    try:
        accounts = options.accounts or await target.accounts()
        mix = Mix(
            accounts=accounts,
            assets=options.assets,
            repay_share=options.repay,
            urgent_share=options.urgent,
        )
        planned = arrivals(
            mix,
            rate=options.rate,
            duration_s=options.duration,
            seed=options.seed,
            run=f"{time.time_ns() // 1_000_000:x}",
        )
        console = Console(stderr=True)
        with Live(console=console, refresh_per_second=4, transient=True) as live:

            def tick(seen: Seen, at_s: float) -> None:
                live.update(_line(seen, at_s, options.duration))

            seen = await load(target, planned, drain_s=options.drain, tick=tick, stop=stop)
    finally:
        await target.aclose()
    return _result(options, accounts, seen, was_stopped=stop.is_set())


def _line(seen: Seen, at_s: float, duration_s: float) -> Text:
    accepted = seen.accepted.quantile_ms(0.99)
    finished = seen.finished.quantile_ms(0.5)
    said = (
        f"{min(at_s, duration_s):.0f}/{duration_s:.0f} s  sent {seen.sent}  "
        f"durable {seen.accepted.count} (p99 {_ms(accepted)})  "
        f"final {seen.finished.count} (p50 {_ms(finished)})  "
        f"open {len(seen.waiting)}  refused {seen.refused.total()}  failed {seen.failed.total()}"
    )
    return Text(said, no_wrap=True, overflow="ellipsis")


def _ms(ms: float | None) -> str:
    return "-" if ms is None else f"{ms:.1f} ms"


def _result(
    options: argparse.Namespace, accounts: list[str], seen: Seen, *, was_stopped: bool
) -> dict[str, object]:
    return {
        "rate": options.rate,
        "duration_s": options.duration,
        "was_stopped": was_stopped,
        "accounts": len(accounts),
        "seed": options.seed,
        "sent": seen.sent,
        "sent_late_ms": round(seen.late_ms, 2),
        "durable_ms": seen.accepted.as_json(),
        "final_ms": seen.finished.as_json(),
        "states": dict(seen.states.most_common()),
        "refused": dict(seen.refused.most_common()),
        "failed": dict(seen.failed.most_common()),
        "durable_histogram_ms": seen.accepted.bars(),
        "final_histogram_ms": seen.finished.bars(),
    }


def _print(result: dict[str, Any]) -> None:
    stopped = ", stopped by Ctrl-C" if result["was_stopped"] else ""
    print(
        f"{result['sent']} sent to {result['accounts']} accounts at {result['rate']:g} a second for"
        f" {result['duration_s']:g} s{stopped}; at most {result['sent_late_ms']:.1f} ms late"
    )
    for name in ("states", "refused", "failed"):
        counted = ", ".join(f"{count} {what}" for what, count in result[name].items())
        print(f"{name:8} {counted or '-'}")
    for name in ("durable", "final"):
        _print_latency(name, result[f"{name}_ms"], result[f"{name}_histogram_ms"])


def _print_latency(
    name: str, figures: dict[str, Any], bars: list[tuple[float, float, int]]
) -> None:
    """Latencies count from when each was due, so that waiting to be sent is in them."""
    if not figures["count"]:
        return
    shares = ", ".join(f"{share} {figures[share]:,} ms" for share in ("p50", "p90", "p99", "p999"))
    print(f"\nuntil {name}, from when each was due: {shares}, most {figures['max']:,} ms")
    most = max(count for _, _, count in bars)
    for low, high, count in bars:
        print(f"{low:11,.2f} to {high:11,.2f} ms {count:7}  {'#' * round(50 * count / most)}")


def _token(path: str | None) -> str | None:
    return None if path is None else Path(path).read_text("utf-8").strip()


def _bounded(most: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        value = _number(text)
        if not 0 < value <= most:
            raise argparse.ArgumentTypeError(f"over 0 and at most {most:g}, not {text}")
        return value

    return parse


def _share(text: str) -> float:
    value = _number(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"between 0 and 1, not {text}")
    return value


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"a number, not {text!r}") from None


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
        "--url",
        default=environment("MARGIN_SCHEDULER_URL", "http://127.0.0.1:8900"),
        help="of the sidecar, or unix:PATH (MARGIN_SCHEDULER_URL, http://127.0.0.1:8900)",
    )
    parser.add_argument(
        "--token-file",
        default=environment("MARGIN_SCHEDULER_TOKEN_FILE"),
        metavar="FILE",
        help="what the sidecar wants to see (MARGIN_SCHEDULER_TOKEN_FILE)",
    )
    parser.add_argument(
        "--rate",
        type=_bounded(RATE_MAX),
        default=1.5,
        help="arrivals a second, over all accounts, at random (1.5)",
    )
    parser.add_argument(
        "--duration", type=_bounded(DURATION_MAX_S), default=30.0, help="seconds (30)"
    )
    parser.add_argument(
        "--drain",
        type=_bounded(600),
        default=30.0,
        help="seconds to wait for outcomes after the last arrival (30)",
    )
    parser.add_argument(
        "--accounts", type=_list, metavar="A,B,...", help="(all that the sidecar has)"
    )
    parser.add_argument(
        "--assets", type=_list, default=ASSETS, metavar="A,B,...", help=f"({','.join(ASSETS)})"
    )
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
    except BadTarget as error:
        print(error, file=sys.stderr)
        return 2
    except aiohttp.ClientResponseError as error:
        print(f"--url: {error.request_info.url}: {error.status} {error.message}", file=sys.stderr)
        return 2
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        print(f"--url: {options.url}: {error or type(error).__name__}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"--token-file: {error}", file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps(result))
    else:
        _print(result)
    return 1 if result["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
