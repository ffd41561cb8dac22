"""Whether names, accounts and keys belong together: asked when the exchange first answers.

A wrong key under a name would put loans on an account that nobody meant, and two names for one
account would take each other's transactions for their own. What the exchange does not say is held
against nobody: the account works, and the question is asked again.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping

import anyio

from . import binance, marks
from .account import AccountLike
from .address import Purpose
from .binance import Credentials, Permissions
from .clock import Clock
from .errors import ConfigurationError, JournalUnavailable
from .journal import Journal
from .reader import READ_ERRORS, Reader

FIRST_LOOK_S = 2.0
"""How long anything waits for the exchange to say whose keys these are."""
AT_ONCE_MAX = 20
"""Questions under way at a time."""
RETRY_S = 5.0
"""Before what is not known is asked again, doubling up to `RETRY_MAX_S`."""
RETRY_MAX_S = 600.0

MAY_NOT_BORROW = "its key may not borrow and repay (enableMargin is off at the exchange)"
MAY_WITHDRAW = "its key may withdraw, which nothing here needs (enableWithdrawals is on)"

_log = logging.getLogger("margin_scheduler")


class KeyQuestions:
    """What the exchange says of a key."""

    def __init__(self, reader: Reader, clock: Clock) -> None:
        self._reader = reader
        self._clock = clock

    async def uid(self, credentials: Credentials) -> int:
        """Which account it belongs to. Raises one of `reader.READ_ERRORS`."""
        reply = await self._reader.read(
            binance.ACCOUNT,
            Purpose.DEBT,
            lambda: binance.account_request(self._clock.now_ms(), credentials),
        )
        return binance.uid(reply)

    async def permissions(self, credentials: Credentials) -> Permissions:
        """What it may do. Raises one of `reader.READ_ERRORS`."""
        reply = await self._reader.read(
            binance.RESTRICTIONS,
            Purpose.DEBT,
            lambda: binance.restrictions_request(self._clock.now_ms(), credentials),
        )
        return binance.permissions(reply)


class Startup:
    """Looks at every account of one scheduler, until each is known."""

    def __init__(
        self,
        accounts: Mapping[str, AccountLike],
        credentials: Mapping[str, Credentials],
        questions: KeyQuestions,
        journal: Journal,
        alarm: Callable[[str, str, str], None],
    ) -> None:
        """`alarm` is told the account, the cause and the message."""
        self._accounts = accounts
        self._credentials = credentials
        self._questions = questions
        self._journal = journal
        self._alarm = alarm
        self._kept: dict[str, int] = {}
        self._found: dict[str, int] = {}
        self._permitted: dict[str, Permissions] = {}
        self._at_once = anyio.CapacityLimiter(AT_ONCE_MAX)

    def recall(self, kept: dict[tuple[str, str], str]) -> None:
        """What an earlier process found, as the journal's marks hold it."""
        self._kept = marks.read_uids(self._accounts, kept)

    @property
    def is_complete(self) -> bool:
        """Whether the exchange has said all there is to know."""
        return len(self._found) == len(self._permitted) == len(self._accounts)

    async def look(self) -> None:
        """Ask what is not known yet, all accounts side by side."""
        async with anyio.create_task_group() as tasks:
            for name in self._accounts:
                if name not in self._found:
                    tasks.start_soon(self._ask, self._ask_uid, name)
                if name not in self._permitted:
                    tasks.start_soon(self._ask, self._ask_permissions, name)

    async def keep(self) -> None:
        """Make durable what was found, but of misfits: of those it is not known what is wrong."""
        misfits = self.misfits()
        for name, uid in self._found.items():
            if name in misfits or name in self._kept:
                continue
            try:
                await self._journal.set_mark(*marks.uid_row(name, uid))
                self._kept[name] = uid
            except JournalUnavailable as error:
                _log.warning("account %s: its uid was not kept: %s", name, error)

    def misfits(self) -> dict[str, str]:
        """The accounts that must not be used as they are configured, and why."""
        declared = {name: account.uid for name, account in self._accounts.items()}
        return misfits(declared, kept=self._kept, found=self._found)

    def check(self) -> None:
        """Raises ConfigurationError for the first of the misfits."""
        for why in self.misfits().values():
            raise ConfigurationError(why)

    async def run(self, found: Callable[[dict[str, str]], Awaitable[None]]) -> None:
        """Ask until all is known; `found` is told after each look which accounts do not fit."""
        wait_s = RETRY_S
        while not self.is_complete:
            await anyio.sleep(wait_s)
            wait_s = min(2 * wait_s, RETRY_MAX_S)
            await self.look()
            await self.keep()
            await found(self.misfits())

    async def _ask(self, ask: Callable[[str], Awaitable[None]], name: str) -> None:
        async with self._at_once:
            try:
                await ask(name)
            except READ_ERRORS as error:
                _log.info("account %s: what its key is for is not known yet: %s", name, error)

    async def _ask_uid(self, name: str) -> None:
        self._found[name] = await self._questions.uid(self._credentials[name])

    async def _ask_permissions(self, name: str) -> None:
        permitted = await self._questions.permissions(self._credentials[name])
        self._permitted[name] = permitted
        if not permitted.may_borrow:
            self._alarm(name, "key_permissions", f"account {name}: {MAY_NOT_BORROW}")
        if permitted.may_withdraw:
            _log.warning("account %s: %s", name, MAY_WITHDRAW, extra={"account": name})


def misfits(
    declared: Mapping[str, int | None], *, kept: Mapping[str, int], found: Mapping[str, int]
) -> dict[str, str]:
    """The accounts that must not be used as they are configured, and why, by name.

    `declared` are the uids of the configuration, `kept` those of the journal, `found` those that
    the exchange gave; the last two need not know every name.
    """
    wrong: dict[str, str] = {}
    holders: dict[int, str] = {}
    for name in declared:
        if name in found and (holder := holders.setdefault(found[name], name)) != name:
            wrong[holder] = wrong[name] = (
                f"accounts: {holder} and {name} are one account at the exchange, uid {found[name]}"
            )
    for name, expected in declared.items():
        if expected is not None and found.get(name, expected) != expected:
            wrong[name] = (
                f"accounts.{name}.uid: is {expected}, and its key belongs to uid {found[name]}"
            )
    for name, uid in kept.items():
        seen = found.get(name, declared.get(name))
        if seen is not None and seen != uid:
            wrong[name] = (
                f"accounts.{name}: the journal knows this name as uid {uid}, and now it is uid "
                f"{seen}; another account needs another name"
            )
    return wrong
