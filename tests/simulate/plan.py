"""What is drawn for one life: the exchange's manners, the work, and what goes wrong."""

import random
from dataclasses import dataclass, field, replace
from typing import Any

ASSETS = ("USDT", "BTC")
PAIR = "BTCUSDT"
AMOUNTS = ("1", "1.00", "2", "0.00000001")
"""Few, so that equal requests are common: telling those apart is the hard part."""

LOAN_FAULTS = (
    "never_left",
    "late_execution",
    "last_moment",
    "lost_before",
    "503_before",
    "1007_before",
    "redirect",
    "lost_after",
    "lost_during",
    "503_after",
    "503_during",
    "1007_after",
    "html_200",
    "truncated",
    "text_tran_id",
    "null_tran_id",
    "no_tran_id",
    "late",
    "slow",
    "failed_record",
    "lost_failed",
    "pending_record",
    "hidden_record",
    "429",
    "403",
    -3007,
    -1021,
    -3037,
    -3006,
    -3044,
)
READ_FAULTS = ("reset_look", "stale_look", "503_before", "html_200", "truncated", "late", "429")


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One submission, and when its caller takes it back."""

    at_s: float
    account: str
    kind: str
    asset: str
    amount: str
    symbol: str | None
    priority: str
    send_within: float | None
    cancel_after_s: float | None
    at_most: bool = False
    precheck: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Disturbance:
    """Something others do: a call of the simulator's handle `name`."""

    at_s: float
    name: str
    arguments: tuple[Any, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One life, before it is lived."""

    seed: int
    exchange: dict[str, Any]
    accounts: dict[str, dict[str, Any]]
    jobs: list[Job]
    disturbances: list[Disturbance]
    loan_faults: dict[str | int, float]
    read_faults: dict[str | int, float]
    quiet_at_s: float
    wall_skew_ms: float


def draw(seed: int) -> Plan:
    """The life of this seed."""
    rng = random.Random(f"plan:{seed}")
    quiet_at_s = rng.choice((15, 40, 90))
    accounts = {f"a{n}": _account(rng) for n in range(rng.choice((1, 1, 2, 3)))}
    # A few kinds of work at a time: variety within a life makes equal requests rare.
    kinds = rng.choice((("BORROW", "BORROW", "REPAY"), ("BORROW",), ("REPAY",)))
    amounts = rng.choice((AMOUNTS, AMOUNTS[:2]))
    priorities = rng.choice((("normal", "normal", "normal", "urgent"), ("urgent",)))
    jobs = [
        _job(rng, list(accounts), quiet_at_s, kinds, amounts, priorities)
        for _ in range(rng.randint(8, 40))
    ]
    return Plan(
        seed=seed,
        exchange=_exchange(rng, seed),
        accounts=accounts,
        jobs=sorted(jobs, key=lambda job: job.at_s),
        disturbances=_disturbances(rng, accounts, quiet_at_s),
        loan_faults=_rates(rng, LOAN_FAULTS, 0.4),
        read_faults=_rates(rng, READ_FAULTS, 0.2),
        quiet_at_s=quiet_at_s,
        wall_skew_ms=rng.choice((0, 0, -90_000, 4_000)),
    )


def with_looks(plan: Plan) -> Plan:
    """The same life where most of what is asked takes a look at the account first, and interest is
    added somewhere in the middle of it."""
    rng = random.Random(f"looks:{plan.seed}")
    hour_ms = 3_600_000
    epoch_ms = 472_222 * hour_ms - round(rng.uniform(0, plan.quiet_at_s) * 1000)
    return replace(
        plan,
        exchange={**plan.exchange, "epoch_ms": epoch_ms, "debt_min": rng.choice(("0", "0.01"))},
        jobs=[_with_look(rng, job) for job in plan.jobs],
    )


def _with_look(rng: random.Random, job: Job) -> Job:
    if rng.random() < 0.3:
        return job
    if job.kind == "REPAY":
        amount = rng.choice(("all", "all", job.amount, "150000"))
        return replace(job, amount=amount, at_most=amount != "all")
    if rng.random() < 0.2:
        return replace(job, precheck=True)
    amount = rng.choice(("max", job.amount, "2000000000"))
    return replace(job, amount=amount, at_most=amount != "max", precheck=rng.random() < 0.2)


def _account(rng: random.Random) -> dict[str, Any]:
    return {
        "exclusive": rng.random() < 0.85,
        "confirm": rng.choice(("reply", "reply", "record")),
        "key_type": rng.choices(("hmac", "ed25519"), (9, 1))[0],
    }


def _exchange(rng: random.Random, seed: int) -> dict[str, Any]:
    slowest = rng.choice((3, 40, 400))
    return {
        "seed": seed,
        "port": None,
        "answers": rng.choice(("at_end", "at_end", "at_once")),
        "jitter": rng.choice((0.05, 0.5)),
        "round_trip_ms": (1, slowest),
        "record_lag_ms": rng.choice(((50, 500), (0, 14_900))),
        "pending_ms": rng.choice(((0, 0), (0, 3_000))),
        "record_timestamp": rng.choice(("started", "finished")),
        "window": rng.choice(("rolling", "fixed")),
        "charge_refusals": rng.random() < 0.5,
        "headers_on_refusals": rng.random() < 0.5,
        "retry_after": rng.random() < 0.7,
        "late_ms": (12_000, 16_000),
    }


def _job(
    rng: random.Random,
    accounts: list[str],
    quiet_at_s: float,
    kinds: tuple[str, ...],
    amounts: tuple[str, ...],
    priorities: tuple[str, ...],
) -> Job:
    is_isolated = rng.random() < 0.15
    return Job(
        # Bursts at a few moments, because what is close together is what goes wrong.
        at_s=rng.choice((0.0, rng.uniform(0, quiet_at_s), quiet_at_s / 3)),
        account=rng.choice(accounts),
        kind=rng.choice(kinds),
        asset=rng.choice(ASSETS) if rng.random() < 0.95 else "LTC",  # nothing is owed of LTC
        amount=rng.choice(amounts),
        symbol=PAIR if is_isolated else None,
        priority=rng.choice(priorities),
        send_within=rng.choice((None, None, 0.05, 1.0, 8.0, 45.0)),
        cancel_after_s=rng.choice((None, None, None, 0.0, 0.15, rng.uniform(0, 20))),
    )


def _disturbances(
    rng: random.Random, accounts: dict[str, dict[str, Any]], quiet_at_s: float
) -> list[Disturbance]:
    found = [_order(rng, list(accounts), quiet_at_s) for _ in range(rng.choice((0, 2, 6)))]
    for account, options in accounts.items():
        if not options["exclusive"]:
            found += [_foreign(rng, account, quiet_at_s) for _ in range(rng.randint(0, 4))]
    if rng.random() < 0.3:
        drained_s = rng.uniform(0, quiet_at_s / 2)
        found.append(Disturbance(at_s=drained_s, name="drain", arguments=("BTC",)))
        found.append(
            Disturbance(
                at_s=drained_s + rng.uniform(1, quiet_at_s),
                name="refill",
                arguments=("BTC", "1000000"),
            )
        )
    if rng.random() < 0.1:
        jump = Disturbance(
            at_s=rng.uniform(0, quiet_at_s),
            name="jump_clock",
            arguments=(rng.choice((-3_000, -700, 700, 3_000, 20_000)),),
        )
        found.append(jump)
    return sorted(found, key=lambda disturbance: disturbance.at_s)


def _order(rng: random.Random, accounts: list[str], quiet_at_s: float) -> Disturbance:
    return Disturbance(
        at_s=rng.uniform(0, quiet_at_s),
        name="order",
        arguments=(rng.choice(accounts), rng.choice(ASSETS), rng.choice(AMOUNTS)),
        options={
            "kind": rng.choice(("auto_borrow", "auto_repay")),
            "occupies_ms": rng.choice((100, 500, 5_000)),
        },
    )


def _foreign(rng: random.Random, account: str, quiet_at_s: float) -> Disturbance:
    return Disturbance(
        at_s=rng.uniform(0, quiet_at_s),
        name="foreign",
        arguments=(
            account,
            rng.choice(("BORROW", "REPAY")),
            rng.choice(ASSETS),
            rng.choice(AMOUNTS),
        ),
    )


def _rates(
    rng: random.Random, faults: tuple[str | int, ...], most: float
) -> dict[str | int, float]:
    """A few faults, often: rare ones in every life would rarely meet each other."""
    chosen = rng.sample(faults, rng.choice((0, 1, 1, 2, 4)))
    total = rng.uniform(0.02, most)
    return {fault: total / len(chosen) for fault in chosen}
