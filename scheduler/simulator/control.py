"""The handles of a simulator by name, for whoever is not in its process or has them in a file."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from .accounts import SimulatedAccount
from .ledger import Transaction, as_json

if TYPE_CHECKING:
    from .simulator import Simulator

CALLS = frozenset(
    {
        "account",
        "ban",
        "clear_faults",
        "drain",
        "fail_next",
        "foreign",
        "jump_clock",
        "order",
        "refill",
        "revoke_key",
        "set_account_refusal",
        "set_balance",
        "set_banned_asset",
        "set_debt",
        "set_down",
        "set_fault_rates",
        "set_inventory",
        "set_maintenance",
        "set_max_borrowable",
        "set_minimums",
        "spend_weight",
    }
)


class NoSuchCall(ValueError):
    """A call that is not among the simulator's handles, or with arguments it does not take."""


def call(simulator: "Simulator", name: str, arguments: Mapping[str, Any]) -> Any:
    """Uses one of the simulator's handles by name. Gives what it gave, as plain JSON."""
    if name not in CALLS:
        raise NoSuchCall(f"no call {name!r}; there are {', '.join(sorted(CALLS))}")
    try:
        result = getattr(simulator, name)(**arguments)
    except (TypeError, ValueError, ArithmeticError) as error:
        raise NoSuchCall(f"{name}: {error}") from error
    match result:
        case SimulatedAccount():
            return asdict(result)
        case Transaction():
            return as_json(result)
    return result
