"""A configuration file for an exchange that runs in a process of its own."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scheduler import Account

from ..exchange_process import ExchangeProcess

TOKEN = "a-token-for-callers"


def configured(
    folder: Path,
    exchange: ExchangeProcess,
    *,
    accounts: Mapping[str, Account] | None = None,
    recv_window_ms: int = 5_000,
    journal: str = "sqlite:///scheduler.db",
    lanes: Mapping[str, Any] | None = None,
    sidecar: Mapping[str, Any] | None = None,
    limits: Mapping[str, Any] | None = None,
) -> Path:
    """With all accounts of the exchange, or the given ones, and secrets in files of their own.

    `sidecar` and `limits` add to these tables; the file is its owner's alone, so that the journal's
    URL may hold a password.
    """
    put_secret(folder / "token", TOKEN)
    listening = {"listen": ["127.0.0.1:0"], "token_file": "token", **(sidecar or {})}
    lines = [
        *_table("exchange", {"base_url": exchange.base_url, "recv_window_ms": recv_window_ms}),
        *_table("journal", {"url": journal}),
        *(_table("lanes", lanes) if lanes is not None else ()),
        *_table("sidecar", listening),
        *_table("limits", limits or {}),
    ]
    for name, account in (accounts or exchange.accounts).items():
        put_secret(folder / f"{name}.secret", account.secret)
        keys = {"api_key": account.api_key, "secret_file": f"{name}.secret"}
        lines += _table(f"accounts.{name}", keys)
    path = folder / "margin-scheduler.toml"
    put_secret(path, "\n".join(lines))
    return path


def put_secret(path: Path, text: str) -> None:
    """A file that only its owner can read."""
    path.touch(0o600)
    path.write_text(text)


def _table(name: str, values: Mapping[str, Any]) -> list[str]:
    # Strings, numbers, lists and truth values look the same in both.
    return [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
