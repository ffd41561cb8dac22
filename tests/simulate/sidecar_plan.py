"""What is drawn for one life of a sidecar: what `stack_plan` draws for the side of the exchange,
and its callers: what they want, how patient they are, and what befalls their bytes."""

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace

from scheduler.sidecar import Client

from ..pipes import Kind, Place
from .plan import Job
from .stack_plan import Crash, StackPlan, draw_stack

NATIVE = "native"
"""Whoever speaks the native API."""
OWNER = "owner"
"""Whoever holds the account's own key, and uses the gateway with it."""
STRANGERS = (
    "no token",
    "wrong token",
    "foreign host",
    "foreign origin",
    "unknown key",
    "changed after it was signed",
    "signed by another",
    "stale",
)
LEAVINGS = ("close", "close", "abort", "silence")
"""How a client leaves: in good order, by a reset, or as its machine goes off."""
SPELLINGS = {"1": ("1", "1.0", "1.00"), "2": ("2", "2.0")}
WANTS_MAX = 24
TRIES_MAX = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Want:
    """One loan or repayment that a caller wants, once."""

    job: Job
    client: str
    key: str | None = None
    """The caller's own. Natives always have one."""
    stays_s: tuple[float, ...] = ()
    """How long it stays the first times, before it leaves and asks again. Then it stays."""
    leaving: str = "close"
    pauses_s: tuple[float, ...] = (0.5,)
    """Before it asks again the first times; longer than the news takes that it has left."""
    tries: int = TRIES_MAX
    """After so many without an outcome it gives up."""
    wait_s: float = 0.0
    """Of a native: `?wait=`."""
    is_twofold: bool = False
    """Asked twice at once, under one key."""
    asks_again: bool = False
    """Once more after it was told the outcome, under its key."""
    is_in_form: bool = False
    """The parameters stand in the form, not in the query."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SidecarPlan(StackPlan):
    """One life of a sidecar, before it is lived."""

    wants: tuple[Want, ...]
    clients: tuple[Client, ...]
    strangers: tuple[tuple[float, str], ...]
    patience_s: float
    adopt_s: float
    caller_latency_ms: tuple[float, float]
    caller_troubles: tuple[tuple[Kind, Place], ...]
    caller_rate: float
    caller_connect_rate: float


def draw_sidecar(seed: int) -> SidecarPlan:
    """The life of this seed."""
    rng = random.Random(f"sidecar:{seed}")
    plan = draw_stack(seed)
    own = {each.name: getattr(plan, each.name) for each in fields(StackPlan)}
    if rng.random() < 0.5:  # the callers' side alone
        own |= {"loan_rate": 0.0, "read_rate": 0.0, "connect_rate": 0.0}
    crashes = tuple(_end(rng, crash, plan) for crash in plan.crashes)
    own |= {"jobs": [], "crashes": crashes}
    clients = _clients(list(plan.accounts))
    jobs = rng.sample(plan.jobs, min(len(plan.jobs), WANTS_MAX))
    kinds = rng.sample(list(Kind), rng.choice((1, 2, 8)))
    places = rng.sample(list(Place), rng.choice((1, 3, 7)))
    patience_s = rng.choice((0.8, 2.0, 8.0, 8.0, 25.0))
    asked_of = rng.choice(((NATIVE,), ("bot",), ("bot",), (NATIVE, "bot", "bot")))
    insists = rng.random() < 0.6
    return SidecarPlan(
        **own,
        wants=_in_the_same_words(
            _want(rng, number, job, clients, rng.choice(asked_of), patience_s, insists)
            for number, job in enumerate(sorted(jobs, key=lambda job: job.at_s))
        ),
        clients=clients,
        strangers=tuple(
            (rng.uniform(0, plan.quiet_at_s), rng.choice(STRANGERS))
            for _ in range(rng.choice((0, 0, 1, 2)))
        ),
        patience_s=patience_s,
        adopt_s=rng.choice((60.0, 60.0, 20.0)),
        caller_latency_ms=rng.choice(((0.1, 0.5), (1, 40))),
        caller_troubles=tuple((kind, place) for kind in kinds for place in places),
        caller_rate=rng.choice((0.0, 0.0, 0.1, 0.3)),
        caller_connect_rate=rng.choice((0.0, 0.0, 0.1)),
    )


def _end(rng: random.Random, crash: Crash, plan: StackPlan) -> Crash:
    if rng.random() < 0.3:
        return Crash(at_s=rng.uniform(0, plan.quiet_at_s), pause_s=crash.pause_s, is_told=True)
    return crash


def _clients(accounts: list[str]) -> tuple[Client, ...]:
    """Two of one account, whose keys are nobody else's business, and one of another."""
    owners = {"bot-a": accounts[0], "bot-b": accounts[0], "bot-c": accounts[-1]}
    return tuple(
        Client(name=name, account=account, api_key=f"{name}-key", secret=f"{name}-secret")
        for name, account in owners.items()
    )


def _want(
    rng: random.Random,
    number: int,
    job: Job,
    clients: tuple[Client, ...],
    kind: str,
    patience_s: float,
    insists: bool,
) -> Want:
    if kind == NATIVE:
        return Want(
            job=job,
            client=NATIVE,
            key=f"k{number}",
            stays_s=_stays(rng, 2.0),
            leaving=rng.choice(LEAVINGS),
            wait_s=rng.choice((0.0, 0.0, 3.0, 30.0)),
            is_twofold=rng.random() < 0.15,
        )
    client = rng.choice([client.name for client in clients] + [OWNER])
    account = next((c.account for c in clients if c.name == client), job.account)
    asset = job.asset if job.asset != "LTC" else "USDT"
    job = replace(job, account=account, asset=asset, cancel_after_s=None)
    is_keyed = rng.random() < 0.4
    is_patient = insists or rng.random() < 0.7
    return Want(
        job=job,
        client=client,
        key=f"order-{number}" if is_keyed else None,
        stays_s=_stays(rng, patience_s),
        leaving=rng.choice(LEAVINGS),
        pauses_s=(rng.choice((0.06, 1.0, 8.0, 19.0, 59.0)), rng.choice((0.06, 1.0))),
        tries=TRIES_MAX if is_patient else rng.choice((1, 2)),
        asks_again=is_keyed and rng.random() < 0.3,
        is_in_form=rng.random() < 0.2,
    )


def _in_the_same_words(wants: Iterable[Want]) -> tuple[Want, ...]:
    """Each bot counts its own keys, in the words that the others use for theirs."""
    counts: Counter[tuple[str, str]] = Counter()
    found: list[Want] = []
    for want in wants:
        who = want.client, want.job.account
        is_counted = want.client != NATIVE and want.key is not None
        found.append(replace(want, key=f"order-{counts[who]}") if is_counted else want)
        counts[who] += is_counted
    return tuple(found)


def _stays(rng: random.Random, patience_s: float) -> tuple[float, ...]:
    """Mostly as long as an answer takes; short stays end while it is queued or just in the air."""
    choices = (0.0, 0.02, 0.1, 0.15, 0.3, 1.0, patience_s, patience_s * 1.2)
    return tuple(rng.choice(choices) for _ in range(rng.choice((0, 0, 1, 1, 2, 4))))
