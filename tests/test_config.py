"""A configuration file: what it may say, and the one line for everything that it may not."""

import os
import re
import tomllib
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from scheduler import ConfigurationError, LaneOptions, Limits, Scheduler
from scheduler.config import configured_path, read_configuration
from scheduler.settings import read_settings
from scheduler.signing import signer

from .cli.command import ROOT

README = ROOT / "README.md"
EXAMPLE = ROOT / "docs" / "margin-scheduler.toml"
CANARY = "canary-secret-that-nobody-may-see"

MINIMAL = """
[accounts.main]
api_key = "main-key"
secret_file = "main.secret"
[journal]
url = "sqlite:///scheduler.db"
[sidecar]
token_file = "token"
"""
CLIENT = """
[clients.bot]
account = "main"
api_key = "bot-key"
secret_file = "bot.secret"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With the secrets that the configurations here name, and an environment without any."""
    for name in ("main.secret", "hedge.secret", "bot.secret", "token"):
        written(tmp_path / name, f"{CANARY}-{name}\n")
    for name in [name for name in os.environ if name.startswith("MARGIN_SCHEDULER")]:
        monkeypatch.delenv(name)
    return tmp_path


def written(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def configuration(folder: Path, text: str, mode: int = 0o644) -> Path:
    return written(folder / "margin-scheduler.toml", text, mode)


def refusal(path: Path) -> str:
    with pytest.raises(ConfigurationError) as caught:
        read_configuration(path)
    line = str(caught.value)
    assert "\n" not in line
    assert CANARY not in line
    return line


# What it may say


def test_the_least_that_is_needed(folder: Path) -> None:
    read = read_configuration(configuration(folder, MINIMAL))
    (account,) = read.settings.accounts
    assert (account.name, account.api_key) == ("main", "main-key")
    assert account.secret == f"{CANARY}-main.secret"
    assert (account.exclusive, account.confirm, account.lane) == (True, "reply", "account")
    assert read.settings.base_url == "https://api.binance.com"
    assert read.settings.recv_window_ms == 5_000
    assert read.settings.limits == Limits()
    assert read.sidecar.token == f"{CANARY}-token"
    assert read.sidecar.listen == ("127.0.0.1:8900",)


def test_paths_are_relative_to_the_file_and_not_to_where_one_stands(folder: Path) -> None:
    listen = f'{MINIMAL}listen = ["unix:run/api.sock", "127.0.0.1:0"]\n'
    read = read_configuration(configuration(folder, listen))
    assert read.settings.journal == f"sqlite:///{folder}/scheduler.db"
    assert read.sidecar.listen == (f"unix:{folder}/run/api.sock", "127.0.0.1:0")
    absolute = MINIMAL.replace("sqlite:///scheduler.db", "sqlite:////var/lib/x.db")
    assert read_settings(configuration(folder, absolute)).journal == "sqlite:////var/lib/x.db"


def test_the_example_says_every_default_and_nothing_else(folder: Path) -> None:
    secrets = ("/run/secrets/main", "/run/secrets/sidecar", "/run/secrets/bot-a")
    text = EXAMPLE.read_text("utf-8")
    for number, secret in enumerate(secrets):
        assert secret in text
        text = text.replace(
            secret, str(written(folder / f"s{number}", f"secret {number}".replace(" ", "-")))
        )
    read = read_configuration(configuration(folder, text))
    plain = read_configuration(
        configuration(folder, MINIMAL.replace("main.secret", "s0").replace('"token"', '"s1"'))
    )
    assert read.settings.limits == plain.settings.limits
    assert read.settings.base_url == plain.settings.base_url
    for field in fields(read.sidecar):
        if field.name != "clients":
            assert getattr(read.sidecar, field.name) == getattr(plain.sidecar, field.name)
    (client,) = read.sidecar.clients
    assert (client.name, client.account, client.secret) == ("bot-a", "main", "secret-2")


def test_the_readmes_example_is_a_whole_configuration(folder: Path) -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    text = text.replace("/run/secrets/main", "main.secret").replace("/run/secrets/sidecar", "token")
    read = read_configuration(configuration(folder, text))
    assert read.settings.accounts[0].name == "main"
    assert read.sidecar.token is not None


def test_the_example_names_every_setting_there_is() -> None:
    text = EXAMPLE.read_text("utf-8").replace("# ", "")
    missing = [field.name for field in fields(Limits) if f"\n{field.name} = " not in text]
    assert not missing
    known = tomllib.loads(EXAMPLE.read_text("utf-8"))
    assert known.keys() == {"exchange", "accounts", "journal", "sidecar", "clients", "limits"}


def test_the_example_says_how_hosts_share_accounts(folder: Path) -> None:
    (lanes,) = re.findall(r"# (\[lanes\].*?)\n\n", EXAMPLE.read_text("utf-8"), re.DOTALL)
    assert tomllib.loads(lanes.replace("\n# ", "\n"))["lanes"].keys() == {
        field.name for field in fields(LaneOptions)
    }
    shared = MINIMAL.replace("sqlite:///scheduler.db", "postgresql://db/x")
    read = read_settings(configuration(folder, shared + lanes.replace("\n# ", "\n"))).lanes
    assert read == LaneOptions(name="tokyo-1")


def test_a_secret_comes_from_the_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAIN", "from-outside")
    text = MINIMAL.replace('secret_file = "main.secret"', 'secret_env = "MAIN"')
    assert read_settings(configuration(folder, text)).accounts[0].secret == "from-outside"


def test_a_secret_may_stand_in_a_file_that_is_its_owners_alone(folder: Path) -> None:
    text = MINIMAL.replace('secret_file = "main.secret"', 'secret = "here"')
    assert read_settings(configuration(folder, text, 0o600)).accounts[0].secret == "here"


def pem(key: Any, passphrase: str | None = None) -> str:
    encryption = (
        NoEncryption() if passphrase is None else BestAvailableEncryption(passphrase.encode())
    )
    encoded: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    return encoded.decode()


def public_pem(key: Any) -> str:
    encoded: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return encoded.decode()


def test_an_encrypted_private_key_is_opened_with_its_passphrase(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = Ed25519PrivateKey.generate()
    written(folder / "main.secret", pem(key, "open sesame"))
    monkeypatch.setenv("PASS", "open sesame")
    text = MINIMAL.replace("[journal]", 'secret_passphrase_env = "PASS"\n[journal]')
    (account,) = read_settings(configuration(folder, text)).accounts
    assert signer(account.secret).sign(b"a=1") == signer(pem(key)).sign(b"a=1")


def test_a_bot_may_sign_with_a_key_whose_public_half_is_given(folder: Path) -> None:
    written(folder / "bot.pem", public_pem(Ed25519PrivateKey.generate()), 0o644)
    text = MINIMAL + CLIENT.replace('secret_file = "bot.secret"', 'public_key_file = "bot.pem"')
    (client,) = read_configuration(configuration(folder, text)).sidecar.clients
    assert client.secret is None
    assert client.public_key is not None


def test_a_socket_of_its_owner_needs_no_token(folder: Path) -> None:
    text = MINIMAL.replace('token_file = "token"', 'listen = ["unix:api.sock"]')
    assert read_configuration(configuration(folder, text)).sidecar.token is None


def test_secrets_stay_out_of_every_repr(folder: Path) -> None:
    read = read_configuration(configuration(folder, MINIMAL + CLIENT))
    assert CANARY not in repr(read)
    assert "main-key" not in repr(read)
    assert "bot-key" not in repr(read)


def test_the_environment_names_the_file_where_no_option_does(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert configured_path(None) is None
    monkeypatch.setenv("MARGIN_SCHEDULER_CONFIG", "/etc/x.toml")
    assert configured_path(None) == Path("/etc/x.toml")
    assert configured_path(Path("y.toml")) == Path("y.toml")


def test_an_embedded_scheduler_is_made_from_the_same_file(folder: Path) -> None:
    scheduler = Scheduler.from_config(configuration(folder, MINIMAL + CLIENT))
    assert scheduler.accounts == ("main",)


def test_an_embedded_scheduler_reads_none_of_the_sidecars_secrets(folder: Path) -> None:
    (folder / "token").unlink()
    (folder / "bot.secret").unlink()
    assert Scheduler.from_config(configuration(folder, MINIMAL + CLIENT)).accounts == ("main",)


def test_how_accounts_are_shared_is_said_in_lanes(folder: Path) -> None:
    shared = MINIMAL.replace("sqlite:///scheduler.db", "postgresql://db/x")
    assert read_settings(configuration(folder, shared)).lanes is None
    lanes = '[lanes]\nname = "tokyo-1"\npinned = ["main"]\nlease_s = 12\n'
    read = read_settings(configuration(folder, shared + lanes)).lanes
    assert read == LaneOptions(name="tokyo-1", pinned=frozenset({"main"}), lease_s=12)
    read = read_settings(configuration(folder, shared + "[lanes]\n")).lanes
    assert read == LaneOptions()
    scheduler = Scheduler.from_config(configuration(folder, shared + lanes))
    assert scheduler.is_shared
    assert scheduler._lanes.name == "tokyo-1"


def test_memory_is_a_journal_for_a_simulated_exchange_alone(folder: Path) -> None:
    text = MINIMAL.replace("sqlite:///scheduler.db", "memory:")
    assert refusal(configuration(folder, text)).startswith("journal.url: memory: forgets")
    here = '[exchange]\nbase_url = "http://127.0.0.1:8901"\n'
    assert read_settings(configuration(folder, here + text)).journal == "memory:"


# What it may not: where the text is found in the configuration, what stands there instead, and the
# line that says so

HEDGE = '[accounts.hedge]\napi_key = "hedge-key"\nsecret_file = "hedge.secret"\n[journal]'
SHARED = 'url = "postgresql://db/x"\n[lanes]'
URL = 'url = "sqlite:///scheduler.db"'
BOT_2 = CLIENT.replace("[clients.bot]", "[clients.bot-2]")

SETTINGS = [
    # the form
    ("[journal]", "[journal", "configuration {file}: this is no TOML: "),
    ("[journal]", "[jurnal]", "jurnal: there is no such setting; journal is one"),
    ('url = "sqlite:///scheduler.db"', "", "journal.url: is missing"),
    ('[journal]\nurl = "sqlite:///scheduler.db"', "", "journal.url: is missing; give sqlite:///"),
    ("[accounts.main]", "[accounts.'ma in']", "accounts: 'ma in' is no name; a name is 1 to 64"),
    ("[accounts.main]", f"[accounts.{'x' * 65}]", f"accounts: '{'x' * 65}' is no name"),
    ('api_key = "main-key"', "", "accounts.main.api_key: is missing"),
    (
        'api_key = "main-key"',
        "api_key = 7",
        "accounts.main.api_key: must be a string, not a whole number",
    ),
    (
        '"main-key"',
        '"main-key"\nuid = "7"',
        "accounts.main.uid: must be a whole number, not a string",
    ),
    ('"main-key"', '"main-key"\nuid = 0', "accounts.main.uid: must be at least 1"),
    (
        '"main-key"',
        '"main-key"\nuid = true',
        "accounts.main.uid: must be a whole number, not true or false",
    ),
    ('"main-key"', '"main-key"\nexclusve = true', "accounts.main.exclusve: there is no such"),
    (
        '"main-key"',
        '"main-key"\nexclusive = 1',
        "accounts.main.exclusive: must be true or false, not a whole number",
    ),
    (
        '"main-key"',
        '"main-key"\nconfirm = "yes"',
        "accounts.main.confirm: must be reply or record",
    ),
    ('"main-key"', '"main-key"\nlane = "one"', "accounts.main.lane: must be account or pair"),
    ("[accounts.main]", "[accounts]\nmain = 3\n[limits]", "accounts.main: must be a table"),
    (MINIMAL, "exchange = 3" + MINIMAL, "exchange: must be a table"),
    # the exchange
    (MINIMAL, "[exchange]\nrecv_window_ms = 60001" + MINIMAL, "exchange.recv_window_ms: must be 1"),
    (MINIMAL, "[exchange]\nrecv_window_ms = 0" + MINIMAL, "exchange.recv_window_ms: must be 1 to"),
    (
        MINIMAL,
        '[exchange]\nbase_url = "http://api.example.com"' + MINIMAL,
        "exchange.base_url: plain http to api.example.com is refused; use https",
    ),
    (MINIMAL, '[exchange]\nbase_url = "api"' + MINIMAL, "exchange.base_url: must be of the form"),
    (MINIMAL, '[exchange]\nproxy = "socks"' + MINIMAL, "exchange.proxy: must be of the form"),
    (
        MINIMAL,
        '[exchange]\nproxy = "http://me:pass@proxy:3128"' + MINIMAL,
        "exchange.proxy: a secret stands in {file}, which other users may open (mode 0644)",
    ),
    # accounts and their secrets
    (
        "[journal]",
        HEDGE.replace("hedge-key", "main-key"),
        "accounts: main and hedge have the same api_key",
    ),
    ('secret_file = "main.secret"', "", "accounts.main.secret: is missing; give accounts.main.sec"),
    (
        'secret_file = "main.secret"',
        'secret_file = "main.secret"\nsecret_env = "X"',
        "accounts.main.secret_env: accounts.main.secret_file is there too, and one is enough",
    ),
    (
        "main.secret",
        "nowhere",
        "accounts.main.secret_file: there is no file {folder}/nowhere",
    ),
    (
        'secret_file = "main.secret"',
        'secret_file = "."',
        "accounts.main.secret_file: {folder}: Is a directory",
    ),
    (
        'secret_file = "main.secret"',
        'secret_file = "/dev/null"',
        "accounts.main.secret_file: /dev/null is no plain file",
    ),
    (
        'secret_file = "main.secret"',
        f'secret = "{CANARY}"',
        "accounts.main.secret: a secret stands in {file}, which other users may open (mode 0644); "
        "chmod 600 it",
    ),
    (
        'secret_file = "main.secret"',
        'secret_env = "NOT_SET"',
        "accounts.main.secret_env: the environment has no NOT_SET",
    ),
    (
        'secret_file = "main.secret"',
        'secret_file = "main.secret"\nsecret_passphrase_env = "NOT_SET"',
        "accounts.main.secret_passphrase_env: the environment has no NOT_SET",
    ),
    # the journal
    (
        "sqlite:///scheduler.db",
        "postgresql://me:pass@db/x",
        "journal.url: a secret stands in {file}",
    ),
    (
        "sqlite:///scheduler.db",
        "mysql://db/x",
        "journal: a URL that begins with 'mysql' names none",
    ),
    (
        "sqlite:///scheduler.db",
        "postgresql://db/x?user=me&password=pass",
        "journal.url: a secret stands in {file}",
    ),
    ("sqlite:///scheduler.db", "postgresql://db/x?sslmodus=x", "journal: 'sslmodus' is no option"),
    (
        "sqlite:///scheduler.db",
        "postgresql://db/x?lock_timeout=1s",
        "journal: lock_timeout must be",
    ),
    # who runs which account
    (URL, URL + '\n[lanes]\nname = "h1"', "lanes: nobody else works on this journal; journal.url"),
    (URL, SHARED + '\nname = ""', "lanes.name: must be 1 to 100 characters that can be printed"),
    (URL, SHARED + '\nname = "a\\u0000"', "lanes.name: must be 1 to 100 characters that can"),
    (URL, SHARED + "\nname = 1", "lanes.name: must be a string, not a whole number"),
    (URL, SHARED + "\nlease_s = 2.9", "lanes.lease_s: must be 3 to 600, not 2.9"),
    (URL, SHARED + "\nlease_s = nan", "lanes.lease_s: must be 3 to 600, not nan"),
    (URL, SHARED + '\nlease_s = "5"', "lanes.lease_s: must be a number, not a string"),
    (URL, SHARED + '\npinned = "main"', "lanes.pinned: must be a list, not a string"),
    (URL, SHARED + '\npinned = ["mian"]', "lanes.pinned: 'mian' is not configured"),
    (URL, SHARED + "\nleese_s = 5", "lanes.leese_s: there is no such setting; lease_s is one"),
    (URL, "url = 'sqlite:///x'\n[[lanes]]", "lanes: must be a table"),
    ("sqlite:///scheduler.db", "sqlite:///", "journal: a URL that begins with 'sqlite' names none"),
    # the sidecar
    ('token_file = "token"', "", "sidecar.token_file: is missing; callers have to show a token"),
    ('token_file = "token"', 'token_file = "none"', "sidecar.token_file: there is no file"),
    (
        'token_file = "token"',
        'listen = ["unix:a.sock"]\nsocket_mode = "0660"',
        "sidecar.token_file: is missing; callers have to show a token because "
        'sidecar.socket_mode = "0660" lets other users connect',
    ),
    ('token_file = "token"', 'token = "t"', "sidecar.token: a secret stands in {file}, which"),
    ('"token"', '"token"\nlisten = []', "sidecar.listen: names no address"),
    ('"token"', '"token"\nlisten = "127.0.0.1:1"', "sidecar.listen: must be a list, not a string"),
    (
        '"token"',
        '"token"\nlisten = [8900]',
        "sidecar.listen[0]: must be a string, not a whole number",
    ),
    ('"token"', '"token"\nlisten = ["localhost"]', "sidecar.listen: 'localhost' must be HOST:PORT"),
    ('"token"', '"token"\nlisten = ["[::1]:65536"]', "sidecar.listen: '[::1]:65536' must be"),
    ('"token"', '"token"\nlisten = ["unix:"]', "sidecar.listen: unix: must be followed by a path"),
    ('"token"', '"token"\nlisten = ["0.0.0.0:8900"]', "sidecar.listen: 0.0.0.0:8900 is beyond loo"),
    (
        '"token"',
        '"token"\nlisten = ["box.example:8900"]',
        "sidecar.listen: box.example:8900 is bey",
    ),
    ('"token"', '"token"\nhosts = ["http://x/"]', "sidecar.hosts: 'http://x/' is not of the form"),
    ('"token"', '"token"\nsocket_mode = "0999"', "sidecar.socket_mode: must be an octal mode"),
    (
        '"token"',
        '"token"\nsocket_mode = 384',
        "sidecar.socket_mode: must be a string, not a whole number",
    ),
    ('"token"', '"token"\ndrain_timeout_s = 0', "sidecar.drain_timeout_s: must be over 0"),
    ('"token"', '"token"\ndrain_timeout_s = nan', "sidecar.drain_timeout_s: must be over 0"),
    ('"token"', '"token"\ndrain_timeout_s = inf', "sidecar.drain_timeout_s: must be at most 600"),
    ('"token"', '"token"\ngateway_patience_ms = 0', "sidecar.gateway_patience_ms: must be at leas"),
    ('"token"', '"token"\ngateway_adopt_s = -1', "sidecar.gateway_adopt_s: must be at least 0"),
    # clients
    ('account = "main"', 'account = "mian"', "clients.bot.account: 'mian' is not configured"),
    ('"bot-key"', '"main-key"', "clients.bot.api_key: accounts.main has the same"),
    (CLIENT, CLIENT + BOT_2, "clients.bot-2.api_key: clients.bot has the same"),
    ("[clients.bot]", "[clients.main]", "clients.main: an account has this name"),
    ("[clients.bot]", f"[clients.{'b' * 37}]", f"clients.{'b' * 37}: a name has at most"),
    ("bot.secret", "gone", "clients.bot.secret_file: there is no file {folder}/gone"),
    (
        'secret_file = "bot.secret"',
        f'secret = "{CANARY}"',
        "clients.bot.secret: a secret stands in {file}, which other users may open",
    ),
    ('secret_file = "bot.secret"', "", "clients.bot.secret: is missing; give it, or public_key_fi"),
    (
        'secret_file = "bot.secret"',
        'public_key_file = "bot.secret"',
        "clients.bot.public_key_file: {folder}/bot.secret holds no public key in PEM",
    ),
    ('"bot-key"', '"bot-key"\npatience_ms = 0', "clients.bot.patience_ms: must be at least 1"),
    ('"bot-key"', '"bot-key"\nalso = ["order"]', "clients.bot.also: 'order' must be a method and"),
    (
        '"bot-key"',
        '"bot-key"\nalso = ["POST /sapi/v1/margin/borrow-repay"]',
        "clients.bot.also: 'POST /sapi/v1/margin/borrow-repay' lends, repays or moves",
    ),
    # limits
    (CLIENT, CLIENT + "[limits]\nmin_gap = 5", "limits.min_gap: there is no such setting; min_gap"),
    (
        CLIENT,
        CLIENT + '[limits]\nqueue_max = "9"',
        "limits.queue_max: must be a whole number, not a string",
    ),
    (CLIENT, CLIENT + "[limits]\nqueue_max = 0", "limits.queue_max: must be at least 1, not 0"),
    (CLIENT, CLIENT + "[limits]\nip_weight_share = 1.5", "limits.ip_weight_share: must be over 0"),
    (CLIENT, CLIENT + "[limits]\nip_weight_share = nan", "limits.ip_weight_share: must be over 0"),
]


@pytest.mark.parametrize(("found", "instead", "line"), SETTINGS)
def test_what_it_may_not_say(folder: Path, found: str, instead: str, line: str) -> None:
    text = MINIMAL + CLIENT
    assert found in text
    file = configuration(folder, text.replace(found, instead, 1))
    assert refusal(file).startswith(line.format(file=file, folder=folder))


def as_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


@pytest.mark.parametrize(
    ("spoil", "line"),
    [
        (lambda path: path.unlink(), "there is no file {path}"),
        (lambda path: path.chmod(0o644), "other users may open {path} (mode 0644); chmod 600 it"),
        (lambda path: path.chmod(0o640), "other users may open {path} (mode 0640); chmod 600 it"),
        (lambda path: path.chmod(0o604), "other users may open {path} (mode 0604); chmod 600 it"),
        (lambda path: path.write_text(" \n"), "{path} is empty"),
        (lambda path: path.write_bytes(b"\xff\xfe"), "{path} is not text"),
        (lambda path: path.write_text("x" * 70_000), "{path} is longer than 65536 bytes"),
        (as_pipe, "{path} is no plain file"),
        (
            lambda path: path.write_text("-----BEGIN PRIVATE KEY-----\nnot really"),
            "the secret cannot be read as a private key in PEM",
        ),
        (
            lambda path: path.write_text(pem(ec.generate_private_key(ec.SECP256R1()))),
            "the private key is neither RSA nor Ed25519",
        ),
        (
            lambda path: path.write_text(pem(Ed25519PrivateKey.generate(), "closed")),
            "the private key is encrypted and there is no passphrase",
        ),
    ],
)
def test_what_a_secrets_file_may_not_be(
    folder: Path, spoil: Callable[[Path], Any], line: str
) -> None:
    path = folder / "main.secret"
    spoil(path)
    expected = f"accounts.main.secret_file: {line.format(path=path)}"
    assert refusal(configuration(folder, MINIMAL)) == expected


def test_a_wrong_passphrase_gives_nothing_away(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(folder / "main.secret", pem(Ed25519PrivateKey.generate(), "right"))
    monkeypatch.setenv("PASS", CANARY)
    text = MINIMAL.replace("[journal]", 'secret_passphrase_env = "PASS"\n[journal]')
    line = refusal(configuration(folder, text))
    assert line.startswith("accounts.main.secret_file: the private key is damaged, or the pass")


@pytest.mark.parametrize(
    ("key", "mode", "line"),
    [
        (public_pem(ec.generate_private_key(ec.SECP256R1())), 0o644, "the key is neither RSA nor"),
        (pem(rsa.generate_private_key(65537, 2048)), 0o600, "{path} holds no public key in PEM"),
        (public_pem(Ed25519PrivateKey.generate()), 0o666, "other users may write to {path}"),
    ],
    ids=["elliptic curve", "private", "writable"],
)
def test_what_a_bots_public_key_may_not_be(folder: Path, key: str, mode: int, line: str) -> None:
    path = written(folder / "bot.pem", key, mode)
    text = MINIMAL + CLIENT.replace('secret_file = "bot.secret"', 'public_key_file = "bot.pem"')
    expected = f"clients.bot.public_key_file: {line.format(path=path)}"
    assert refusal(configuration(folder, text)).startswith(expected)


def test_a_bots_private_key_is_not_wanted(folder: Path) -> None:
    written(folder / "bot.secret", pem(Ed25519PrivateKey.generate()))
    line = refusal(configuration(folder, MINIMAL + CLIENT))
    assert line.startswith("clients.bot.secret_file: is a PEM; a client that signs with")


def test_one_way_is_enough_for_a_bot(folder: Path) -> None:
    written(folder / "bot.pem", public_pem(Ed25519PrivateKey.generate()), 0o644)
    text = MINIMAL + CLIENT + 'public_key_file = "bot.pem"\n'
    line = refusal(configuration(folder, text))
    assert line == (
        "clients.bot.public_key_file: clients.bot.secret_file is there too, and one is enough"
    )


def test_a_token_has_to_fit_into_a_header(folder: Path) -> None:
    written(folder / "token", "two words")
    line = refusal(configuration(folder, MINIMAL))
    assert line == "sidecar.token_file: must be printable ASCII without spaces"


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (None, "configuration {file}: there is no such file"),
        (b"\xff", "configuration {file}: it is not in UTF-8"),
        (b"#" * (1 << 20) + b"##", "configuration {file}: it is over 1048576 bytes"),
        (b"", "journal.url: is missing"),
        (b'[journal]\nurl="memory:"\n', "accounts: none is configured"),
        (b"[journal]\nurl='x'\n[journal]\nurl='y'\n", "configuration {file}: this is no TOML: "),
    ],
    ids=["missing", "not UTF-8", "too long", "empty", "no accounts", "a table twice"],
)
def test_what_the_file_may_not_be(tmp_path: Path, content: bytes | None, line: str) -> None:
    file = tmp_path / "x.toml"
    if content is not None:
        file.write_bytes(content)
    assert refusal(file).startswith(line.format(file=file))
