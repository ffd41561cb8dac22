"""`margin-scheduler simulate`: the exchange simulator by itself, over HTTP."""

import asyncio
import inspect
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, cast

import typer

from ..simulator import Fault, SimulatedAccount, Simulator
from ..simulator.control import NoSuchCall
from ..simulator.faults import read_fault
from ..simulator.scenario import (
    Scenario,
    ScenarioInvalid,
    load_scenario,
    run_scenario,
    scenario_names,
)
from ..simulator.signatures import KeyType
from . import simulator_options
from .failed import Failed
from .help import examples
from .output import counted, say_json
from .signals import run_until_stopped

EXAMPLES = examples(
    "margin-scheduler simulate --port 8901",
    "margin-scheduler simulate --account main --account hedge --key-type ed25519",
    "margin-scheduler simulate --fault lost_after=0.05 --fault=-3007=0.1",
    "margin-scheduler simulate --scenario starved_asset --json",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """All that was asked for."""

    options: Mapping[str, Any]
    accounts: tuple[str, ...]
    key_type: KeyType
    faults: Mapping[Fault | int | str, float]
    read_faults: Mapping[Fault | int | str, float]
    scenario: Scenario | None
    as_json: bool


def simulate(
    *,
    port: Annotated[
        int,
        typer.Option(min=0, max=65535, metavar="PORT", help="On 127.0.0.1; 0 finds a free one."),
    ] = 0,
    account: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Open this account; can be repeated. [default: main]"),
    ] = None,
    key_type: Annotated[
        str, typer.Option(metavar="hmac|rsa|ed25519", help="What their keys sign with.")
    ] = "hmac",
    scenario: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help=f"Let a scenario happen: a .toml file, or {', '.join(scenario_names())}.",
        ),
    ] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=RATE",
            help="How often a borrow or repayment suffers a fault, such as lost_after=0.05 or a "
            "code (-3007=0.1); can be repeated.",
        ),
    ] = None,
    read_fault: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=RATE", help="The same for requests that only read."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a line of JSON when ready, and one when stopped.")
    ] = False,
    **given: Any,
) -> None:
    """Runs a simulated margin exchange.

    It is served over HTTP on this machine, with the rules of the real one, this machine's time and
    simulated keys, until Ctrl-C or SIGTERM. What is given here goes before what a scenario says.
    """
    happens = _scenario(scenario)
    options = {
        "epoch_ms": time.time_ns() // 1_000_000,
        **(happens.options if happens else {}),
        **simulator_options.read(given),
        "port": port,
    }
    setting = Setting(
        options=options,
        accounts=tuple(dict.fromkeys(account or ["main"])),
        key_type=_key_type(key_type),
        faults=_rates("--fault", fault),
        read_faults=_rates("--read-fault", read_fault),
        scenario=happens,
        as_json=as_json,
    )
    run_until_stopped(_serve(setting))


def _with_the_simulators_options() -> None:
    """Typer reads a command's options from its signature, so that is where they have to be."""
    signature = inspect.signature(simulate)
    own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    every = [*own, *simulator_options.parameters()]
    simulate.__signature__ = signature.replace(parameters=every)  # type: ignore[attr-defined]
    simulate.__annotations__ |= {p.name: p.annotation for p in every}


_with_the_simulators_options()


async def _serve(setting: Setting) -> None:
    simulator = Simulator(**setting.options)
    try:
        await simulator.__aenter__()
    except OSError as error:
        why = error.strerror or error
        raise Failed(f"--port: 127.0.0.1:{setting.options['port']}: {why}") from None
    started_s = time.monotonic()
    try:
        accounts = [simulator.account(name, key_type=setting.key_type) for name in setting.accounts]
        simulator.set_fault_rates(setting.faults, setting.read_faults)
        _say_ready(setting, simulator.base_url, accounts)
        await _until_stopped(setting.scenario, simulator)
    finally:
        await simulator.__aexit__(None, None, None)
    _say_stopped(setting, simulator.statistics(), time.monotonic() - started_s)


async def _until_stopped(scenario: Scenario | None, simulator: Simulator) -> None:
    try:
        if scenario is not None:
            await run_scenario(scenario, simulator)
        await asyncio.Event().wait()
    except NoSuchCall as error:
        raise Failed(f"--scenario: {error}") from None
    except asyncio.CancelledError:
        return


def _scenario(name: str | None) -> Scenario | None:
    try:
        return None if name is None else load_scenario(name)
    except ScenarioInvalid as error:
        raise Failed(f"--scenario: {error}") from None


def _key_type(name: str) -> KeyType:
    if name not in {"hmac", "rsa", "ed25519"}:
        raise Failed(f"--key-type: {name!r} is not hmac, rsa or ed25519")
    return cast("Literal['hmac', 'rsa', 'ed25519']", name)


def _rates(flag: str, given: list[str] | None) -> dict[Fault | int | str, float]:
    rates: dict[Fault | int | str, float] = {}
    for text in given or ():
        name, _, rate = text.partition("=")
        try:
            rates[read_fault(name)] = float(rate)
        except ValueError:
            raise Failed(f"{flag}: {text!r} is not of the form FAULT=RATE or CODE=RATE") from None
    if not 0 <= sum(rates.values()) <= 1 or min(rates.values(), default=0) < 0:
        raise Failed(f"{flag}: rates are between 0 and 1, and so is their sum")
    return rates


# What it says


def _say_ready(setting: Setting, base_url: str, accounts: list[SimulatedAccount]) -> None:
    if setting.as_json:
        say_json(
            {
                "event": "ready",
                "base_url": base_url,
                "accounts": [
                    {"name": a.name, "uid": a.uid, "api_key": a.api_key, "secret": a.secret}
                    for a in accounts
                ],
            }
        )
        return
    lines = [
        f"A simulated margin exchange listens on {base_url}",
        "The keys below are simulated too: they open nothing else, and are worth nothing.",
    ]
    for account in accounts:
        lines += ["", f"account  {account.name}", f"API key  {account.api_key}"]
        lines += [f"secret   {account.secret}"]
    lines += ["", "Try:", f"  curl {base_url}/api/v3/time", *_signed_example(base_url, accounts[0])]
    lines += ["", "What really happened, as no exchange would tell:"]
    lines += [f"  curl {base_url}/simulator/ledger", "", "Ctrl-C stops it."]
    typer.echo("\n".join(lines))


def _signed_example(base_url: str, account: SimulatedAccount) -> list[str]:
    if account.secret.startswith("-----"):
        return []
    return [
        '  q="asset=USDT&isIsolated=FALSE&amount=100&type=BORROW&timestamp=$(date +%s)000"',
        f'  s=$(printf %s "$q" | openssl dgst -sha256 -hmac {account.secret} | sed "s/.* //")',
        f"  curl -H 'X-MBX-APIKEY: {account.api_key}' -d \"$q&signature=$s\" \\",
        f"    {base_url}/sapi/v1/margin/borrow-repay",
    ]


def _say_stopped(setting: Setting, seen: Mapping[str, Any], lasted_s: float) -> None:
    if setting.as_json:
        say_json({"event": "stopped", "after_s": round(lasted_s, 3), "statistics": seen})
        return
    lines = [
        "",
        f"Stopped after {lasted_s:.1f} s: {counted(seen['arrivals'], 'request')} arrived, "
        f"{counted(seen['booked'], 'transaction')} booked, {seen['failed']} failed.",
    ]
    lines += [f"  refused with {code}: {count}" for code, count in seen["refusals"].items()]
    lines += [f"  fault {name}: {count}" for name, count in seen["faults"].items()]
    for name, account in seen["accounts"].items():
        debts = ", ".join(f"{debt} {asset}" for asset, debt in account["debts"].items())
        lines.append(f"  {name}: {account['booked']} booked, owes {debts or 'nothing'}")
    typer.echo("\n".join(lines))
