"""Where a client finds the exchange and its accounts."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """A simulated account's key pair; worth nothing elsewhere."""

    api_key: str = field(repr=False)
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Venue:
    base_url: str
    accounts: Mapping[str, Keys]
    directory: str
    """For a client that keeps files."""
