"""`margin-scheduler check`: whether a configuration would do, before it has to."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import anyio
import typer

from ..address import Address
from ..binance import Credentials
from ..clock import ROUND_TRIP_MAX_MS, Clock, loop_s
from ..config import VARIABLE, Configuration, configured_path, read_configuration
from ..engine import credentials_of
from ..errors import ConfigurationError
from ..reader import READ_ERRORS, Reader
from ..startup import AT_ONCE_MAX, MAY_NOT_BORROW, MAY_WITHDRAW, KeyQuestions, misfits
from ..timekeeper import Timekeeper
from ..transport import AiohttpTransport
from .failed import Failed
from .help import examples
from .output import counted, say_json
from .serve import journal_place

EXAMPLES = examples(
    "margin-scheduler check --config /etc/margin-scheduler.toml",
    "margin-scheduler check --config margin-scheduler.toml --json",
)

OK, WARNING, FAILED = "ok", "warning", "failed"
WALL_CLOCK_MAX_S = 1.0
"""The exchange's own time is what counts, but a machine this far off has its clock unset."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    mark: str
    subject: str
    detail: str


def check(
    *,
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help=f"The configuration. [env: {VARIABLE}]"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON.")] = False,
) -> int:
    """Tells whether a configuration would do.

    Reads it with all the files and variables that it names, and asks the exchange for its time, for
    whom each key belongs to and for what it may do. Borrows nothing and opens no journal. Exit code
    0: all is well, perhaps with warnings; 2: something failed.
    """
    path = configured_path(config)
    if path is None:
        raise Failed(f"--config: is missing, and so is {VARIABLE}")
    try:
        findings = _findings(path)
    except ConfigurationError as error:
        if as_json:
            setting, _, why = str(error).partition(": ")
            _print([Finding(FAILED, setting, why)], as_json=True)
        raise
    _print(findings, as_json=as_json)
    return 2 if any(finding.mark == FAILED for finding in findings) else 0


def _print(findings: list[Finding], *, as_json: bool) -> None:
    if as_json:
        is_ok = all(finding.mark != FAILED for finding in findings)
        say_json({"ok": is_ok, "findings": [asdict(finding) for finding in findings]})
    else:
        for finding in findings:
            typer.echo(f"{finding.mark:8}{finding.subject}: {finding.detail}")


def _findings(path: Path) -> list[Finding]:
    configuration = read_configuration(path)
    credentials = {a.name: credentials_of(a) for a in configuration.settings.accounts}
    return [
        Finding(OK, "configuration", str(configuration.path)),
        _journal(configuration),
        _sidecar(configuration),
        *asyncio.run(_ask(configuration, credentials)),
    ]


def _journal(configuration: Configuration) -> Finding:
    url = configuration.settings.journal
    place = journal_place(url)
    is_file = url.startswith("sqlite:///")
    if is_file and not Path(place["journal"]).parent.is_dir():
        return Finding(FAILED, "journal.url", f"there is no directory for {place['journal']}")
    return Finding(OK, "journal.url", place["journal"] + (" (new)" if place["is_new"] else ""))


def _sidecar(configuration: Configuration) -> Finding:
    options = configuration.sidecar
    token = "no token" if options.token is None else "with a token"
    clients = counted(len(options.clients), "client")
    return Finding(OK, "sidecar.listen", f"{', '.join(options.listen)}, {token}, {clients}")


# At the exchange


async def _ask(configuration: Configuration, credentials: dict[str, Credentials]) -> list[Finding]:
    async with _reader(configuration) as (reader, clock):
        time = await _time(reader, clock, configuration.settings.base_url)
        if time.mark == FAILED:
            return [time]
        asked = _Asked(KeyQuestions(reader, clock))
        async with anyio.create_task_group() as tasks:
            for name, each in credentials.items():
                tasks.start_soon(asked.ask, name, each)
    declared = {account.name: account.uid for account in configuration.settings.accounts}
    wrong = misfits(declared, kept={}, found=asked.uids)
    findings = [time]
    for name in declared:
        if name in wrong:
            findings.append(Finding(FAILED, f"accounts.{name}", wrong[name].partition(": ")[2]))
        findings += asked.findings[name]
    return findings


@asynccontextmanager
async def _reader(configuration: Configuration) -> AsyncIterator[tuple[Reader, Clock]]:
    settings = configuration.settings
    transport = AiohttpTransport(settings.base_url, proxy=settings.proxy)
    clock = Clock()
    try:
        yield Reader(transport, clock, Address(settings.limits)), clock
    finally:
        await transport.aclose()


async def _time(reader: Reader, clock: Clock, base_url: str) -> Finding:
    keeper = Timekeeper(reader, clock)
    await keeper.sample()  # opens a connection, which takes its own time
    asked_at_s = loop_s()
    if not await keeper.sample():
        return Finding(FAILED, "exchange.base_url", f"{base_url} does not tell the time")
    took_ms = (loop_s() - asked_at_s) * 1000
    behind_s = clock.offset_s
    told = f"{base_url} answers in {took_ms:.0f} ms; this machine's clock is "
    told += f"{abs(behind_s) * 1000:.0f} ms {'behind' if behind_s > 0 else 'ahead'}"
    if took_ms > ROUND_TRIP_MAX_MS:
        return Finding(WARNING, "exchange.base_url", f"{told}: too slow to conclude anything from")
    if abs(behind_s) > WALL_CLOCK_MAX_S:
        return Finding(WARNING, "exchange.base_url", told)
    return Finding(OK, "exchange.base_url", told)


class _Asked:
    """What the exchange said of each account."""

    def __init__(self, questions: KeyQuestions) -> None:
        self._questions = questions
        self._at_once = anyio.CapacityLimiter(AT_ONCE_MAX)
        self.uids: dict[str, int] = {}
        self.findings: dict[str, list[Finding]] = {}

    async def ask(self, name: str, credentials: Credentials) -> None:
        subject = f"accounts.{name}"
        async with self._at_once:
            try:
                uid = self.uids[name] = await self._questions.uid(credentials)
                permitted = await self._questions.permissions(credentials)
            except READ_ERRORS as error:
                self.findings[name] = [
                    Finding(FAILED, subject, f"the exchange does not answer for its key: {error}")
                ]
                return
        found = [Finding(OK, subject, f"uid {uid}")]
        if not permitted.may_borrow:
            found.append(Finding(FAILED, subject, MAY_NOT_BORROW))
        if permitted.may_withdraw:
            found.append(Finding(WARNING, subject, MAY_WITHDRAW))
        if not permitted.is_address_bound:
            found.append(Finding(WARNING, subject, NOT_BOUND))
        self.findings[name] = found


NOT_BOUND = "its key works from every address (ipRestrict is off at the exchange)"
