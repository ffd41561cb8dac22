"""When a submission made now would start, as far as that is certain."""

from .ledger import MINUTE_MS
from .model import Priority, Quote
from .worker import Worker


def quote(worker: Worker, priority: Priority) -> Quote:
    """Counts only waits that nothing can shorten: pace, weight, a rate limit, a ban."""
    now_ms, steady_ms = worker.clock.both_ms()
    pace, ledger = worker.budget.pace, worker.budget.ledger
    is_urgent = priority is Priority.URGENT
    ahead = worker.queue.ahead(priority)
    starts_at_ms = ledger.starts_at_ms(
        steady_ms, ahead, pace.gap_ms(steady_ms), is_urgent=is_urgent
    )
    wait_ms = max(
        starts_at_ms - steady_ms, pace.wait_ms(steady_ms), worker.shared.address.wait_ms(steady_ms)
    )
    return Quote(starts_at_ms=now_ms + wait_ms, ahead=ahead, causes=_causes(worker))


def is_surely_in_time(worker: Worker, deadline_ms: int) -> bool:
    """A quick answer to whether a quote is worth making: True only if no certain wait can take as
    long as `deadline_ms`."""
    limits = worker.limits
    now_ms, steady_ms = worker.clock.both_ms()
    pace, ledger = worker.budget.pace, worker.budget.ledger
    if worker.shared.address.wait_ms(steady_ms) or ledger.blocked_until_ms():
        return False
    left_ms, waiting = deadline_ms - now_ms, len(worker.queue)
    slots = limits.uid_weight_per_minute // limits.request_weight - limits.urgent_reserve
    each_ms = max(5 * limits.min_gap_ms, 2 * MINUTE_MS // max(1, slots))
    if left_ms > 3 * MINUTE_MS + (waiting + 1) * each_ms:
        return True
    # All that waits still fits into the minute, so that only the pace holds it.
    fits = (waiting + 1) * limits.request_weight <= ledger.left(steady_ms)
    return fits and left_ms > max(pace.wait_ms(steady_ms), waiting * pace.gap_ms(steady_ms))


def _causes(worker: Worker) -> tuple[str, ...]:
    steady_ms = worker.clock.steady_ms()
    ledger = worker.budget.ledger
    causes = {
        "gap": worker.budget.pace.wait_ms(steady_ms) > 0 or len(worker.queue) > 0,
        "weight": ledger.wait_ms(steady_ms, is_urgent=False) > 0,
        "limit": ledger.blocked_until_ms() > steady_ms,
        "ban": worker.shared.address.wait_ms(steady_ms) > 0,
        "pause": bool(worker.queue.pauses),
    }
    return tuple(cause for cause, holds in causes.items() if holds)
