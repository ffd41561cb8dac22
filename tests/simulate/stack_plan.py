"""What is drawn for one life of the whole stack: what `plan` draws, and troubles on the wire and
deaths of the process besides."""

import random
from dataclasses import dataclass, field, fields, replace

from ..pipes import Kind, Place, Trouble
from .plan import AMOUNTS, Disturbance, Job, Plan, draw

STRANGER_AMOUNT = "7.5"
"""What nobody here asks for: a record of it can only be somebody else's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crash:
    """The process dies: `after_s` after the n-th point of its work, or at a time. Or it is told to
    stop then, and ends in good order."""

    point: int | None = None
    at_s: float | None = None
    after_s: float = 0.0
    pause_s: float = 0.2
    """Until it is started again."""
    is_told: bool = False


@dataclass(frozen=True, slots=True)
class Strike:
    """A trouble for one request of a kind: `loan`, `look` (a query for records), or `recovery` (the
    first of whatever a process that was started again sends). Strikes come in order."""

    target: str
    trouble: Trouble


@dataclass(frozen=True, slots=True, kw_only=True)
class StackPlan(Plan):
    """One life of the whole stack, before it is lived."""

    latency_ms: tuple[float, float] = (0.5, 1.5)
    troubles: tuple[tuple[Kind, Place], ...] = ()
    """What is drawn from, evenly."""
    loan_rate: float = 0.0
    read_rate: float = 0.0
    connect_rate: float = 0.0
    script: tuple[Strike, ...] = ()
    """In place of rates."""
    armed_s: float = 0.0
    """When the script begins."""
    crashes: tuple[Crash, ...] = ()


def draw_stack(seed: int) -> StackPlan:
    """The life of this seed."""
    rng = random.Random(f"stack:{seed}")
    plan = draw(seed)
    kinds = rng.sample(list(Kind), rng.choice((1, 2, 8)))
    places = rng.sample([p for p in Place if p is not Place.CONNECT], rng.choice((1, 3, 6)))
    connects = tuple((kind, Place.CONNECT) for kind in kinds)
    own = {each.name: getattr(plan, each.name) for each in fields(Plan)}
    own |= {"jobs": _jobs(rng, plan), "disturbances": _disturbances(rng, plan)}
    if rng.random() < 0.5:  # the wire alone
        own |= {"loan_faults": {}, "read_faults": {}}
    return StackPlan(
        **own,
        latency_ms=rng.choice(((0.5, 1.5), (1, 40), (20, 200))),
        troubles=tuple((kind, place) for kind in kinds for place in places) + connects,
        loan_rate=rng.choice((0.0, 0.05, 0.3)),
        read_rate=rng.choice((0.0, 0.05, 0.3)),
        connect_rate=rng.choice((0.0, 0.1, 0.5)),
        crashes=tuple(_crash(rng, plan) for _ in range(rng.choice((0, 0, 1, 1, 2, 3)))),
    )


def _jobs(rng: random.Random, plan: Plan) -> list[Job]:
    """Now and then more than fit into a minute, of one account."""
    if rng.random() > 0.03:
        return plan.jobs
    model = replace(plan.jobs[0], account="a0", symbol=None, send_within=None, cancel_after_s=None)
    burst = [replace(model, at_s=0.0, amount=rng.choice(AMOUNTS)) for _ in range(140)]
    return sorted([*plan.jobs, *burst], key=lambda job: job.at_s)


def _disturbances(rng: random.Random, plan: Plan) -> list[Disturbance]:
    found = list(plan.disturbances)
    accounts = list(plan.accounts)
    if rng.random() < 0.2:
        at_s, weight = rng.uniform(0, plan.quiet_at_s), rng.choice((30_000, 150_000, 175_000))
        found.append(Disturbance(at_s=at_s, name="spend_weight", arguments=(accounts[0], weight)))
    if rng.random() < 0.1:  # on an account that is said to be ours alone
        found.append(
            Disturbance(
                at_s=rng.uniform(0, plan.quiet_at_s),
                name="foreign",
                arguments=(rng.choice(accounts), "BORROW", "USDT", STRANGER_AMOUNT),
            )
        )
    if rng.random() < 0.3:
        found.append(Disturbance(at_s=rng.uniform(0, plan.quiet_at_s), name="close_idle"))
    return sorted(found, key=lambda disturbance: disturbance.at_s)


def _crash(rng: random.Random, plan: Plan) -> Crash:
    pause_s = rng.choice((0.2, 2.0, 6.0, 40.0))
    if rng.random() < 0.3:
        return Crash(at_s=rng.uniform(0, plan.quiet_at_s + 20), pause_s=pause_s)
    return Crash(
        point=int(2 ** rng.uniform(0, 9)),
        after_s=rng.choice((0.0, 0.0, rng.uniform(0, 0.3), rng.uniform(0, 16))),
        pause_s=pause_s,
    )


class DrawnTroubles:
    """Strikes at random, until it is told to stop."""

    def __init__(self, plan: StackPlan, whose: str = "troubles") -> None:
        self._random = random.Random(f"{whose}:{plan.seed}")
        self._plan = plan
        self._on_connect = [t for t in plan.troubles if t[1] is Place.CONNECT]
        self._on_request = [t for t in plan.troubles if t[1] is not Place.CONNECT]
        self.is_over = False

    def on_connect(self) -> Trouble | None:
        return self._draw(self._plan.connect_rate, self._on_connect)

    def on_request(self, method: bytes, path: bytes) -> Trouble | None:
        is_loan = method == b"POST"
        rate = self._plan.loan_rate if is_loan else self._plan.read_rate
        return self._draw(rate, self._on_request)

    def _draw(self, rate: float, choices: list[tuple[Kind, Place]]) -> Trouble | None:
        if self.is_over or not choices or self._random.random() >= rate:
            return None
        share = self._random.choice((0.0, 1.0, self._random.random()))
        return Trouble(*self._random.choice(choices), share)


@dataclass(slots=True)
class ScriptedTroubles:
    """Strikes as written down, once each."""

    script: tuple[Strike, ...]
    is_armed: bool = False
    is_recovering: bool = False
    is_over: bool = False
    struck: list[Strike] = field(default_factory=list)

    def on_connect(self) -> Trouble | None:
        strike = self._next()
        if strike is None or strike.trouble.place is not Place.CONNECT:
            return None
        return self._strike(strike)

    def on_request(self, method: bytes, path: bytes) -> Trouble | None:
        strike = self._next()
        if strike is None or strike.trouble.place is Place.CONNECT:
            return None
        target = "loan" if method == b"POST" else "look" if b"borrow-repay" in path else "other"
        return self._strike(strike) if strike.target in {target, "recovery"} else None

    def _next(self) -> Strike | None:
        if self.is_over or not self.is_armed or len(self.struck) == len(self.script):
            return None
        strike = self.script[len(self.struck)]
        return strike if self.is_recovering or strike.target != "recovery" else None

    def _strike(self, strike: Strike) -> Trouble:
        self.struck.append(strike)
        return strike.trouble
