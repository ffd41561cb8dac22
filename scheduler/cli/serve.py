"""`margin-scheduler serve`: the sidecar, until it is told to stop."""

import asyncio
import logging
import os
import threading
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from ..account import AccountLike
from ..config import VARIABLE, Configuration, configured_path, read_configuration
from ..scheduler import Scheduler
from ..sidecar import Sidecar, SidecarOptions
from ..simulator import SimulatedAccount, Simulator
from . import traffic
from .failed import Failed
from .help import examples
from .logs import LEVELS, configure_logs
from .notify import READY, STOPPING, notify
from .output import say_json
from .process import run, spare_the_collector
from .signals import stop_signals

EXAMPLES = examples(
    "margin-scheduler serve --simulate",
    "margin-scheduler serve --simulate --demo-traffic",
    "margin-scheduler serve --config /etc/margin-scheduler.toml",
    "margin-scheduler serve --config margin-scheduler.toml --json 2>events.log",
)

PORT = 8900
CLOSE_S = 2.0
"""Of the time to drain, what is kept for the last answers on their way out; at most half of it."""
OVERDUE_S = 2.0
"""After the time to drain, when the process is ended whatever still holds it up: a disk, say. What
was promised is in the journal, which is made for that."""


_log = logging.getLogger("margin_scheduler")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What is to be served."""

    scheduler: Scheduler
    options: SidecarOptions
    journal: str
    """Where it is, for people."""
    is_new: bool
    accounts: tuple[AccountLike, ...]
    simulator: Simulator | None = None
    has_traffic: bool = False
    as_json: bool = False
    began_s: float = field(default_factory=time.monotonic)


def serve(
    *,
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help=f"The configuration. [env: {VARIABLE}]"),
    ] = None,
    simulate: Annotated[
        bool,
        typer.Option(
            "--simulate",
            help="Needs no configuration: a simulated exchange in this process, with an account "
            "`demo`, no token, and a journal that goes in the end.",
        ),
    ] = False,
    port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            metavar="PORT",
            help=f"With --simulate: where to listen on 127.0.0.1; 0 finds a free one. "
            f"[default: {PORT}]",
        ),
    ] = None,
    demo_traffic: Annotated[
        bool,
        typer.Option(
            "--demo-traffic",
            help="With --simulate: more accounts, and a trickle of borrows and repayments.",
        ),
    ] = False,
    log_level: Annotated[
        str, typer.Option(metavar="|".join(LEVELS), help="What to log, on standard error.")
    ] = "info",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a line of JSON when ready, and one when stopped.")
    ] = False,
) -> None:
    """Runs the sidecar: the scheduler behind HTTP, for programs in any language.

    Says where it listens and where its journal is, then logs one line an event to standard error,
    as JSON unless that is a terminal. SIGTERM or Ctrl-C drains it: nothing new is taken, what is in
    the air lands, what is queued stays in the journal. A second one ends it at once.
    """
    if log_level not in LEVELS:
        raise Failed(f"--log-level: {log_level!r} is none of {', '.join(LEVELS)}")
    if simulate:
        if config is not None:
            raise Failed("--config: goes without --simulate, which needs none")
        configure_logs(log_level)
        listens_at = PORT if port is None else port
        with _simulation(listens_at, has_traffic=demo_traffic, as_json=as_json) as setting:
            run(_serve(setting))
        return
    if demo_traffic:
        raise Failed("--demo-traffic: is for --simulate; nothing else is played with")
    if port is not None:
        raise Failed("--port: is for --simulate; a configuration says it in sidecar.listen")
    path = configured_path(config)
    if path is None:
        raise Failed(f"--config: is missing, and so is {VARIABLE}; or try --simulate")
    setting = _configured(read_configuration(path), as_json=as_json)
    configure_logs(log_level)
    run(_serve(setting))


def _configured(configuration: Configuration, *, as_json: bool) -> Setting:
    settings = configuration.settings
    return Setting(
        scheduler=Scheduler(
            settings.accounts,
            journal=settings.journal,
            base_url=settings.base_url,
            recv_window_ms=settings.recv_window_ms,
            proxy=settings.proxy,
            limits=settings.limits,
            lanes=settings.lanes,
        ),
        options=configuration.sidecar,
        accounts=settings.accounts,
        as_json=as_json,
        **journal_place(settings.journal),
    )


def journal_place(url: str) -> dict[str, Any]:
    """Where a journal is, for people, and whether it is there yet."""
    if url.startswith("sqlite:///"):
        path = os.path.realpath(url.removeprefix("sqlite:///"))
        return {"journal": path, "is_new": not os.path.exists(path)}
    parts = urlsplit(url)
    # Not the user, and not the options: either may hold a password.
    if parts.scheme == "memory":
        return {"journal": url, "is_new": True}
    # Not the user, and not the options: either may hold a password.
    return {"journal": f"{parts.scheme}://{parts.hostname or ''}{parts.path}", "is_new": False}


@contextmanager
def _simulation(port: int, *, has_traffic: bool, as_json: bool) -> Iterator[Setting]:
    simulator = Simulator(port=None, epoch_ms=time.time_ns() // 1_000_000)
    names = ("demo", *(traffic.ACCOUNTS if has_traffic else ()))
    accounts = tuple(simulator.account(name) for name in names)
    # Of this run alone: the next exchange will know nothing of the transactions of this one.
    with TemporaryDirectory(prefix="margin-scheduler-") as folder:
        path = str(Path(folder) / "scheduler.db")
        yield Setting(
            scheduler=Scheduler(
                accounts, journal=f"sqlite:///{path}", transport=simulator.transport
            ),
            options=SidecarOptions(listen=(f"127.0.0.1:{port}",)),
            journal=path,
            is_new=True,
            accounts=accounts,
            simulator=simulator,
            has_traffic=has_traffic,
            as_json=as_json,
        )


async def _serve(setting: Setting) -> None:
    with stop_signals() as stopping:
        async with _exchange(setting), _running(setting) as addresses, _traffic(setting):
            spare_the_collector()
            _say_ready(setting, addresses)
            notify(READY)
            await _first(stopping.wait(), setting.scheduler.ended())
            notify(STOPPING)
    _say_stopped(setting)


@asynccontextmanager
async def _exchange(setting: Setting) -> AsyncIterator[None]:
    if setting.simulator is None:
        yield
    else:
        async with setting.simulator:
            yield


@asynccontextmanager
async def _traffic(setting: Setting) -> AsyncIterator[None]:
    if setting.simulator is None or not setting.has_traffic:
        yield
        return
    running = asyncio.create_task(traffic.run_traffic(setting.scheduler, setting.simulator))
    try:
        yield
    finally:
        running.cancel()
        await asyncio.wait([running])


@asynccontextmanager
async def _running(setting: Setting) -> AsyncIterator[tuple[str, ...]]:
    """The scheduler and its sidecar, until they are drained."""
    scheduler, drain_s = setting.scheduler, setting.options.drain_timeout_s
    sidecar = Sidecar(scheduler, setting.options)
    await scheduler.start()
    try:
        await sidecar.start()
    except BaseException:
        await scheduler.aclose(timeout=0)
        raise
    try:
        yield sidecar.addresses
    finally:
        with ended_if_overdue(drain_s + OVERDUE_S):
            await end(scheduler, sidecar, drain_s)


async def end(scheduler: Scheduler, sidecar: Sidecar, drain_s: float) -> None:
    """Take nothing new, let what is in the air land, and stop listening."""
    sidecar.drain()
    await sidecar.drained()  # a scheduler that is closed takes nothing back
    await _close(scheduler, max(drain_s - CLOSE_S, drain_s / 2))
    await sidecar.aclose()


async def _close(scheduler: Scheduler, timeout: float) -> None:
    try:
        await scheduler.aclose(timeout=timeout)
    except Exception:
        _log.exception("the scheduler did not end well")
        raise Failed("the scheduler died; the log says of what", exit_code=1) from None


@contextmanager
def ended_if_overdue(after_s: float) -> Iterator[None]:
    """What takes longer than this ends the process, with 1."""
    overdue = threading.Timer(after_s, os._exit, [1])
    overdue.daemon = True
    overdue.start()
    try:
        yield
    finally:
        overdue.cancel()


async def _first(*waits: Coroutine[Any, Any, Any]) -> None:
    """Wait until one of them is over."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


# What it says


def _say_ready(setting: Setting, addresses: tuple[str, ...]) -> None:
    is_simulated = setting.simulator is not None
    if setting.as_json:
        say_json(
            {
                "event": "ready",
                "addresses": addresses,
                "journal": {"path": setting.journal, "is_new": setting.is_new},
                "is_simulated": is_simulated,
                "accounts": [_account(account) for account in setting.accounts],
            }
        )
        return
    lines = [f"listening on {address}" for address in addresses]
    found = "new" if setting.is_new else "found"
    lines.append(
        f"journal {setting.journal} ({found}{', and gone in the end' if is_simulated else ''})"
    )
    if is_simulated:
        lines += _to_try(setting.accounts[0], addresses[0])
    lines.append("Ctrl-C stops it.")
    typer.echo("\n".join(lines))


def _account(account: AccountLike) -> dict[str, Any]:
    if isinstance(account, SimulatedAccount):
        return {"name": account.name, "api_key": account.api_key, "secret": account.secret}
    return {"name": account.name}


def _to_try(account: AccountLike, address: str) -> list[str]:
    body = (
        f'{{"account":"{account.name}","kind":"BORROW","asset":"USDT","amount":"100",'
        '"key":"first-1"}'
    )
    return [
        "exchange simulated, in this process: nothing leaves this machine",
        f"account {account.name}, whose key opens nothing else",
        f"API key {account.api_key}",
        f"secret  {account.secret}",
        "",
        "Try:",
        f"  curl '{address}/v1/submissions?wait=10' -H 'Content-Type: application/json' \\",
        f"    -d '{body}'",
        "",
    ]


def _say_stopped(setting: Setting) -> None:
    lasted_s = time.monotonic() - setting.began_s
    if setting.as_json:
        say_json({"event": "stopped", "after_s": round(lasted_s, 3)})
    else:
        kept = "; what was not finished is in the journal" if setting.simulator is None else ""
        typer.echo(f"stopped after {lasted_s:.1f} s{kept}")
