"""What the handlers of companion calls are given, and what they give back."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .accounts import Account
from .parameters import Parameters
from .refusals import Refusal


@dataclass(frozen=True, slots=True)
class Query:
    """One call that only asks, after all checks."""

    caller: Account | None
    parameters: Parameters

    @property
    def account(self) -> Account:
        assert self.caller is not None, "a handler for anybody asked for the account"
        return self.caller


# JSON-able, or no.
Handler = Callable[[Query], Any | Refusal]
