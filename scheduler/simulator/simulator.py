"""The simulator as its users see it: an exchange to talk to, and handles to make its life hard."""

from collections.abc import Mapping
from decimal import Decimal
from types import TracebackType
from typing import Any, Literal, Self

from .accounts import Account, Accounts, SimulatedAccount
from .borrow_repay import BorrowRepay
from .clock import Clock
from .debts import Debts
from .endpoints import BORROW_REPAY
from .exchange import Exchange
from .faults import AnyFault, Faults
from .history import History
from .holdings import Holdings
from .inventory import Inventory
from .ledger import ForeignSpending, Ledger, Transaction
from .limits import Limits
from .market import Market
from .network import Network, Transport
from .options import Options
from .orders import OrderKind, Orders
from .parameters import LoanKind
from .records import Records
from .refusals import refuse
from .seeds import Seeds
from .server import Server
from .signatures import KeyType

Amount = str | int | Decimal
AnyAccount = str | SimulatedAccount

HOME = "127.0.0.1"


class Simulator:
    """A margin exchange in this process, to be used as an async context manager.

    It follows the rules of the real borrow/repay call as far as they are known, in the time of the
    running event loop, and does the same thing every time for the same seed. Options are those of
    `Options`, by keyword.

    Talk to it through `transport`, or over HTTP at `base_url` unless `port=None`. Judge by
    `ledger`, which knows what really happened.
    """

    def __init__(self, **options: Any) -> None:
        self.options = Options(**options)
        self._seeds = Seeds(self.options.seed)
        self._clock = Clock(self.options.epoch_ms, self.options.clock_offset_ms)
        self._debts = Debts(
            self._clock,
            Decimal(self.options.interest_rate),
            self.options.interest,
            self.options.history_max,
        )
        self._accounts = Accounts(self.options, self._seeds, self._debts)
        self._inventory = Inventory(self.options)
        self._records = Records(self.options.history_max)
        self._limits = Limits(self.options, self._clock)
        self.ledger = Ledger(self._debts, self.options.arrivals_max)
        self._faults = Faults(self._seeds, self.ledger.faults)
        self._borrow_repay = BorrowRepay(
            self.options,
            self._clock,
            self._seeds,
            self._accounts,
            self._debts,
            self._inventory,
            self._records,
            self.ledger,
        )
        self._orders = Orders(
            self.options, self._clock, self._seeds, self._debts, self._borrow_repay, self.ledger
        )
        self._market = Market(self.options, self._clock, self._inventory)
        self._exchange = self._open_exchange()
        self._network = Network(self.options, self._clock, self._seeds, self._exchange)
        self._server: Server | None = None
        self.transport = self.transport_from(HOME)
        # A placeholder that nothing can connect to, until there is a port.
        self.base_url = f"http://{HOME}:0"

    def _open_exchange(self) -> Exchange:
        history = History(self.options, self._clock, self._debts, self._records)
        holdings = Holdings(
            self.options, self._clock, self._seeds, self._accounts, self._debts, self._inventory
        )
        return Exchange(
            self.options,
            self._clock,
            self._seeds,
            self._accounts,
            self._limits,
            self._faults,
            self._borrow_repay,
            {**self._market.handlers, **history.handlers, **holdings.handlers},
            self.ledger,
        )

    async def __aenter__(self) -> Self:
        self._clock.start()
        if self.options.port is not None:
            self._server = Server(self, self._exchange)
            self.base_url = await self._server.start(HOME, self.options.port)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._network.close()
        if self._server is not None:
            await self._server.close()
        self._clock.stop()

    # Talking to it.

    def account(
        self,
        name: str,
        *,
        key_type: KeyType = "hmac",
        exclusive: bool = True,
        confirm: Literal["reply", "record"] = "reply",
        lane: Literal["account", "pair"] | None = None,
        collateral: Mapping[str, Amount] | None = None,
    ) -> SimulatedAccount:
        """The account of this name, opened by the first call; `key_type` matters only then.

        `collateral` is what it holds at first, by asset; without it, plenty of everything.
        """
        if name not in self._accounts:
            held = None if collateral is None else {a: Decimal(v) for a, v in collateral.items()}
            self._accounts.open(name, key_type, held)
        account = self._accounts[name]
        return SimulatedAccount(
            name=name,
            api_key=account.keys.api_key,
            secret=account.keys.secret,
            uid=account.uid,
            exclusive=exclusive,
            confirm=confirm,
            lane=self.options.lane if lane is None else lane,
        )

    def transport_from(self, address: str) -> Transport:
        """The in-process way to the exchange from another machine, with an IP budget of its own."""
        return Transport(self._network, address)

    def now_ms(self) -> int:
        """Exchange time, in epoch milliseconds."""
        return self._clock.now_ms()

    def statistics(self) -> dict[str, Any]:
        """The ledger's counts and sums, as plain JSON."""
        return self.ledger.statistics()

    # Making things go wrong.

    def fail_next(
        self,
        fault: AnyFault | str,
        *,
        account: AnyAccount | None = None,
        path: str | None = None,
        times: int = 1,
        status: int | None = None,
    ) -> None:
        """Does this to the next request that fits; see `Fault` for what there is.

        `path` may be a bare path or start with a method, as in "GET /api/v3/time". Without one it
        is the next borrow or repayment, for "reset_look" the next query for records. `status` is
        the HTTP status of a code.
        """
        name = None if account is None else _name(account)
        self._faults.plan(fault, name, path, times, status)

    @property
    def fault_rates(self) -> dict[AnyFault | str, float]:
        """How likely each fault is for a borrow or repayment; to be written to."""
        return self._faults.rates.loans

    @fault_rates.setter
    def fault_rates(self, rates: Mapping[AnyFault | str, float]) -> None:
        self._faults.rates.loans = dict(rates)

    @property
    def read_fault_rates(self) -> dict[AnyFault | str, float]:
        """The same for requests that only read."""
        return self._faults.rates.reads

    @read_fault_rates.setter
    def read_fault_rates(self, rates: Mapping[AnyFault | str, float]) -> None:
        self._faults.rates.reads = dict(rates)

    def set_fault_rates(
        self,
        loans: Mapping[AnyFault | str, float] | None = None,
        reads: Mapping[AnyFault | str, float] | None = None,
    ) -> None:
        """Both rates in one call; what is not given stays as it is."""
        if loans is not None:
            self.fault_rates = dict(loans)
        if reads is not None:
            self.read_fault_rates = dict(reads)

    def clear_faults(self) -> None:
        """From now on nothing goes wrong on purpose: drops planned faults and all rates."""
        self._faults.clear()

    def jump_clock(self, ms: float) -> None:
        """Moves what the exchange says the time is. Its minutes and hours go on as before."""
        self._clock.offset_ms += ms

    def set_down(self, is_down: bool) -> None:
        """While down, in-process transports cannot connect."""
        self._network.is_down = is_down

    def ban(self, address: str = HOME, ban_ms: float | None = None) -> None:
        """Bans an address now; without a time, for as long as its record earns it."""
        self._limits.ban(address, ban_ms)

    def set_maintenance(self, is_on: bool, code: int = -1001) -> None:
        """System status says maintenance, and loans and repayments are answered with this code."""
        self._market.is_maintenance = is_on
        self._exchange.maintenance = refuse(code) if is_on else None

    def revoke_key(self, account: AnyAccount, is_revoked: bool = True) -> None:
        """The account's key is answered with -2015."""
        self._find(account).is_revoked = is_revoked

    def set_account_refusal(self, account: AnyAccount, code: int | None) -> None:
        """Every borrow and repayment of the account is refused with this code; None ends it."""
        self._find(account).refusal = None if code is None else refuse(code)

    # What the exchange has, and what accounts owe.

    def set_inventory(self, asset: str, amount: Amount, *, isolated: bool = False) -> None:
        """What can be lent of an asset from now on. Lists the asset if it was unknown."""
        self._inventory.set(asset, isolated, Decimal(amount))

    def drain(self, asset: str, *, isolated: bool = False) -> None:
        """Nothing is left to lend of an asset."""
        self.set_inventory(asset, 0, isolated=isolated)

    def refill(
        self,
        asset: str,
        amount: Amount,
        *,
        after_ms: float = 0,
        at_ms: int | None = None,
        isolated: bool = False,
    ) -> None:
        """Adds to what can be lent: after a while, or at an exchange time."""
        delay_ms = after_ms if at_ms is None else max(0, at_ms - self.now_ms())
        change = (asset, isolated, Decimal(amount))
        if delay_ms:
            self._clock.call_later(delay_ms, self._inventory.move, *change)
        else:
            self._inventory.move(*change)

    def set_banned_asset(self, asset: str, is_banned: bool = True) -> None:
        """Borrowing of an asset is banned (-3012); repaying is not."""
        self._inventory.add(asset).is_borrowable = not is_banned

    def set_minimums(
        self,
        asset: str,
        *,
        borrow: Amount | None = None,
        repay: Amount | None = None,
        debt: Amount | None = None,
    ) -> None:
        """The smallest borrow, repayment and remaining debt of an asset."""
        rules = self._inventory.add(asset)
        rules.borrow_min = rules.borrow_min if borrow is None else Decimal(borrow)
        rules.repay_min = rules.repay_min if repay is None else Decimal(repay)
        rules.debt_min = rules.debt_min if debt is None else Decimal(debt)

    def set_max_borrowable(
        self, account: AnyAccount, asset: str, amount: Amount, *, symbol: str | None = None
    ) -> None:
        """How much more the account may borrow, as far as its own credit goes."""
        self._accounts.set_credit_left(self._find(account), asset, symbol, Decimal(amount))

    def set_debt(
        self,
        account: AnyAccount,
        asset: str,
        amount: Amount,
        *,
        interest: Amount = 0,
        symbol: str | None = None,
    ) -> None:
        """Makes the account owe exactly this, out of nowhere: no transaction, no record."""
        self._inventory.add(asset)
        name = self._find(account).name
        self._debts.set(name, asset, symbol, Decimal(amount), Decimal(interest))

    def set_balance(
        self, account: AnyAccount, asset: str, amount: Amount, *, symbol: str | None = None
    ) -> None:
        """Makes the account hold exactly this, free to repay with."""
        self._find(account).balances[asset, symbol] = Decimal(amount)

    # What others do.

    def order(
        self,
        account: AnyAccount,
        asset: str,
        amount: Amount,
        kind: OrderKind = "auto_borrow",
        *,
        symbol: str | None = None,
        occupies_ms: float | None = None,
        fails_silently: bool = False,
    ) -> Transaction | None:
        """An order that borrows or repays by itself: blocks the account and books AUTO.

        None if it came to nothing: because it `fails_silently`, or the account was busy, or the
        loan was refused. Reports put the block at up to 5 s.
        """
        return self._orders.order(
            self._find(account), asset, Decimal(amount), kind, symbol, occupies_ms, fails_silently
        )

    def foreign(
        self,
        account: AnyAccount,
        kind: LoanKind,
        asset: str,
        amount: Amount,
        *,
        symbol: str | None = None,
    ) -> Transaction | None:
        """Somebody else borrows or repays by hand: books MANUAL. None if it was refused."""
        return self._orders.foreign(self._find(account), kind, asset, Decimal(amount), symbol)

    def spend_weight(self, account: AnyAccount, weight: int) -> None:
        """Another program spends UID weight of the borrow/repay call."""
        name = self._find(account).name
        self._limits.spend(BORROW_REPAY, name, weight)
        spending = ForeignSpending(self._clock.loop_s(), name, weight)
        self.ledger.foreign_spending.append(spending)

    def _find(self, account: AnyAccount) -> Account:
        self.account(_name(account))
        return self._accounts[_name(account)]


def _name(account: AnyAccount) -> str:
    return account if isinstance(account, str) else account.name
