"""What a PostgreSQL journal does besides what every journal does."""

import asyncio
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from scheduler.errors import ConfigurationError, JournalUnavailable
from scheduler.journal import open_journal
from scheduler.journal.postgres import PostgresJournal
from scheduler.journal.postgres_codec import escaped, unescaped
from scheduler.journal.postgres_schema import STEPS, migrate
from scheduler.journal.postgres_server import server as server_of
from scheduler.journal.protocol import AlreadyInAir, StaleVersion

from ..postgres import PASSWORD, PostgresServer
from ..proxy import Proxy, proxy
from .entries import NOW_MS, cancelled, confirmed, new, sent

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[PostgresJournal]:
    journal = PostgresJournal(url)
    await journal.open()
    try:
        yield journal
    finally:
        await journal.aclose()


@asynccontextmanager
async def behind_a_proxy(
    postgres: PostgresServer, url: str
) -> AsyncIterator[tuple[PostgresJournal, Proxy]]:
    async with (
        proxy(urlsplit(url).port or 5432) as network,
        opened(postgres.through(url, network.port)) as journal,
    ):
        yield journal, network


async def until_waiting(connection: asyncpg.Connection, count: int) -> None:
    """Until that many wait for a lock."""
    sql = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    async with asyncio.timeout(10):
        while await connection.fetchval(sql) < count:  # noqa: ASYNC110  no event tells of it
            await asyncio.sleep(0)


# Choosing and refusing


def test_a_postgresql_url_chooses_it() -> None:
    assert isinstance(open_journal("postgresql://host/db"), PostgresJournal)
    assert isinstance(open_journal("postgres://host/db"), PostgresJournal)


def test_without_the_driver_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    for module in list(sys.modules):
        if module.startswith("scheduler.journal.postgres"):
            monkeypatch.delitem(sys.modules, module)
    with pytest.raises(ConfigurationError, match=r"pip install 'margin-scheduler\[postgres\]'"):
        open_journal("postgresql://host/db")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://me:hunter2@[::1/db", "cannot be read"),
        ("postgresql://me:hunter2@host:port/db", "cannot be read"),
        ("postgresql://me:hunter2@host/db?schema=A-b", "schema must be"),
        ("postgresql://me:hunter2@host/db?lock_timeout=99", "lock_timeout must be 100 to 5000 mil"),
        ("postgresql://me:hunter2@host/db?lock_timeout=5001", "lock_timeout must be 100 to 5000"),
        ("postgresql://me:hunter2@host/db?statement_timeout=-1", "statement_timeout must be 100"),
        ("postgresql://me:hunter2@host/db?statement_timeout=", "statement_timeout must be 100 to"),
        ("postgresql://me:hunter2@host/db?synchronous_commit=off", "'synchronous_commit' is no op"),
        ("postgresql://me@host/db?passwort=hunter2", "'passwort' is no option"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_its_password(url: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as caught:
        open_journal(url)
    assert "hunter2" not in str(caught.value)


def test_a_password_is_in_no_repr() -> None:
    found = server_of("postgresql://me:s%26cret@host:5/db?schema=own")
    assert found.where == "journal postgresql://host:5/db?schema=own"
    assert "cret" not in repr(found)
    assert "schema" not in found.dsn
    assert found.said(ValueError("with s&cret or s%26cret")) == "with ... or ..."
    named = server_of("postgresql://host/db?password=hunter2&sslpassword=hunter3")
    assert "hunter" not in repr(named)
    assert named.said(ValueError("hunter2, hunter3")) == "..., ..."


async def test_a_statement_and_a_lock_take_only_so_long(postgres: PostgresServer) -> None:
    url = f"{postgres.url()}&statement_timeout=2500&lock_timeout=150"
    async with opened(url) as journal:
        shown = [
            await journal.fetch(f"SHOW {name}") for name in ("statement_timeout", "lock_timeout")
        ]
        assert [rows[0][0] for rows in shown] == ["2500ms", "150ms"]
        other = await journal.server.connect()
        try:
            async with other.transaction():
                await other.execute("LOCK TABLE entries")
                with pytest.raises(JournalUnavailable, match="lock timeout"):
                    await journal.add(new("a"))
        finally:
            await other.close()
        assert (await journal.add(new("a"))).key == "a"


async def test_without_a_word_the_times_are_the_longest(postgres: PostgresServer) -> None:
    async with opened(postgres.url()) as journal:
        shown = [
            await journal.fetch(f"SHOW {name}") for name in ("statement_timeout", "lock_timeout")
        ]
        assert [rows[0][0] for rows in shown] == ["10s", "5s"]


async def test_a_wrong_password_is_refused_without_it(postgres: PostgresServer) -> None:
    url = postgres.url().replace(PASSWORD, "hunter2")
    with pytest.raises(ConfigurationError, match="password") as caught:
        await PostgresJournal(url).open()
    assert "hunter2" not in str(caught.value)


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(JournalUnavailable, match=r"journal postgresql://127.0.0.1:1/db: "):
        await PostgresJournal("postgresql://me:hunter2@127.0.0.1:1/db").open()


async def test_a_server_that_does_not_speak_tls_is_not_spoken_to_without(
    postgres: PostgresServer,
) -> None:
    with pytest.raises((ConfigurationError, JournalUnavailable), match="SSL"):
        await PostgresJournal(f"{postgres.url()}&sslmode=require").open()


def _signed(folder: Path, name: str, ip: str) -> tuple[Path, ssl.SSLContext]:
    """A certificate that is its own authority, for an address, and a server that shows it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now, address = datetime.now(UTC), x509.IPAddress(ip_address(ip))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    shown, secret = folder / f"{name}.pem", folder / f"{name}.key"
    shown.write_bytes(certificate.public_bytes(Encoding.PEM))
    secret.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(shown, secret)
    return shown, context


@pytest.mark.parametrize(
    ("shown", "trusted", "mode", "refusal"),
    [
        ("right", "right", "verify-full", None),
        ("right", "right", "verify-ca", None),
        ("right", "", "require", None),
        ("right", "wrong", "verify-full", "certificate verify failed"),
        ("right", "wrong", "verify-ca", "certificate verify failed"),
        ("elsewhere", "elsewhere", "verify-full", "IP address mismatch"),
        ("elsewhere", "elsewhere", "verify-ca", None),
        ("right", "none", "verify-full", "sslrootcert: .*none.pem cannot be read"),
    ],
)
async def test_the_url_says_what_the_server_has_to_prove(
    postgres: PostgresServer,
    tmp_path: Path,
    shown: str,
    trusted: str,
    mode: str,
    refusal: str | None,
) -> None:
    addresses = {"right": "127.0.0.1", "wrong": "127.0.0.1", "elsewhere": "127.0.0.2"}
    contexts = {name: _signed(tmp_path, name, ip)[1] for name, ip in addresses.items()}
    url = postgres.url()
    async with proxy(urlsplit(url).port or 5432) as network:
        network.tls = contexts[shown]
        url = f"{postgres.through(url, network.port)}&sslmode={mode}"
        if trusted:
            url += f"&sslrootcert={tmp_path}/{trusted}.pem"
        if refusal is None:
            async with opened(url) as journal:
                connection = await journal._ready()
                assert connection._transport.get_extra_info("ssl_object") is not None
                assert (await journal.add(new("a"))).key == "a"
        else:
            with pytest.raises((ConfigurationError, JournalUnavailable), match=refusal) as caught:
                await PostgresJournal(url).open()
            assert PASSWORD not in str(caught.value)


async def test_a_newer_schema_is_refused(postgres: PostgresServer) -> None:
    url = postgres.url()
    async with opened(url) as journal:
        await journal.fetch("UPDATE journal_version SET version = version + 1 RETURNING version")
    with pytest.raises(ConfigurationError, match=rf"version {len(STEPS) + 1} is newer"):
        await PostgresJournal(url).open()


@pytest.mark.parametrize("version", range(1, len(STEPS)))
async def test_an_older_schema_is_taken_along_with_what_it_holds(
    postgres: PostgresServer, version: int
) -> None:
    url = postgres.url()
    server = server_of(url)
    connection = await server.connect()
    await migrate(connection, server.schema, server.where, STEPS[:version])
    row = "('k', 'main', 'BORROW', 'USDT', '100', 'normal', 0, 0, 1, 2)"
    columns = "key, account, kind, asset, requested, priority, at_most, precheck"
    await connection.execute(
        f"INSERT INTO entries ({columns}, submitted_at_ms, deadline_ms) VALUES {row}"
    )
    await connection.close()
    async with opened(url) as journal:
        (kept,) = await journal.unfinished()
        assert (kept.key, kept.requested) == ("k", "100")
        assert await journal.lanes.shortages() == []
        assert (await journal.fetch("SELECT version FROM journal_version"))[0][0] == len(STEPS)


async def test_another_programs_schema_is_refused(postgres: PostgresServer) -> None:
    url = postgres.url()
    schema = server_of(url).schema
    other = await postgres.connect()
    await other.execute(f"CREATE SCHEMA {schema}; CREATE TABLE {schema}.entries (x int)")
    await other.close()
    with pytest.raises(ConfigurationError, match="another program's tables"):
        await PostgresJournal(url).open()


async def test_many_that_come_at_once_make_the_tables_once(postgres: PostgresServer) -> None:
    url = postgres.url()
    journals = [PostgresJournal(url) for _ in range(5)]
    await asyncio.gather(*(journal.open() for journal in journals))
    kept = await asyncio.gather(*(journal.add(new()) for journal in journals))
    assert len({entry.seq for entry in kept}) == 1
    for journal in journals:
        await journal.aclose()


async def test_a_commit_is_durable_whatever_the_server_does_by_default(
    postgres: PostgresServer,
) -> None:
    journal = PostgresJournal(postgres.url())
    journal.server = replace(journal.server, settings={"synchronous_commit": "off"})
    await journal.open()
    connection = await journal._ready()
    assert await connection.fetchval("SHOW synchronous_commit") == "on"
    await journal.aclose()


@pytest.mark.parametrize("words", ["", "plain", "a\\b", "\0", "\\0", "\\\\0\0", "\\\n"])
def test_text_that_postgresql_cannot_hold_goes_through(words: str) -> None:
    assert unescaped(escaped(words)) == words
    assert "\0" not in escaped(words)


async def test_history_cannot_be_changed(postgres: PostgresServer) -> None:
    async with opened(postgres.url()) as journal:
        await journal.add(new())
        for sql in ("UPDATE history SET state = ''", "DELETE FROM history"):
            with pytest.raises(JournalUnavailable, match="history never changes"):
                await journal.fetch(sql)


# Several hosts


async def test_two_hosts_share_keys_versions_claims_and_the_air(postgres: PostgresServer) -> None:
    url = postgres.url()
    async with opened(url) as one, opened(url) as other:
        kept = await one.add(new())
        assert await other.add(new()) == kept
        results = await asyncio.gather(
            one.update(sent(kept), at_ms=NOW_MS),
            other.update(cancelled(kept), at_ms=NOW_MS),
            return_exceptions=True,
        )
        assert {type(result) for result in results} == {type(None), StaleVersion}
        in_air = await one.add(new("in the air"))
        await one.update(sent(in_air, exclusion="shared"), at_ms=NOW_MS)
        waiting = await other.add(new("waiting"))
        with pytest.raises(AlreadyInAir):
            await other.update(sent(waiting, exclusion="shared"), at_ms=NOW_MS)


# Losing the server


async def test_after_its_connections_were_ended_it_connects_anew(postgres: PostgresServer) -> None:
    url = postgres.url()
    async with opened(url) as journal:
        await journal.add(new())
        other = await postgres.connect()
        for connection in journal._connections():
            pid = connection.get_server_pid()
            await other.execute("SELECT pg_terminate_backend($1, 5000)", pid)
        await other.close()
        kept = await journal.add(new("later"))
        assert await journal.get("later") == kept


async def test_while_the_network_is_gone_every_call_says_so(postgres: PostgresServer) -> None:
    async with behind_a_proxy(postgres, postgres.url()) as (journal, network):
        kept = await journal.add(new())
        network.is_open = False
        network.cut()
        for _ in range(2):
            with pytest.raises(JournalUnavailable):
                await journal.update(sent(kept), at_ms=NOW_MS)
            with pytest.raises(JournalUnavailable):
                await journal.get("k")
        network.is_open = True
        await journal.update(sent(kept), at_ms=NOW_MS)
        assert await journal.get("k") == sent(kept)


async def test_a_write_whose_answer_is_lost_can_be_read_again(postgres: PostgresServer) -> None:
    async with behind_a_proxy(postgres, postgres.url()) as (journal, network):
        kept = await journal.add(new())
        for number in range(10):
            network.on_request = lambda data: b'"do"' in data
            with pytest.raises(JournalUnavailable):
                await journal.add(new(f"k{number}"))
            network.on_request = None
            found = await journal.get(f"k{number}")
            # Whichever it was, it stays so: nothing that was begun is still under way.
            assert await journal.get(f"k{number}") == found
        await journal.update(sent(kept), at_ms=NOW_MS)


async def test_nothing_is_read_while_a_lost_write_may_still_be_made(
    postgres: PostgresServer,
) -> None:
    url = postgres.url()
    async with behind_a_proxy(postgres, url) as (journal, network):
        kept = await journal.add(new())
        blocker = await postgres.connect()
        await blocker.execute(f"SET search_path = {server_of(url).schema}")
        holding = blocker.transaction()
        await holding.start()
        await blocker.execute("SELECT FROM entries FOR UPDATE")  # the write will wait for this
        writing = asyncio.ensure_future(journal.update(sent(kept), at_ms=NOW_MS))
        await until_waiting(blocker, 1)
        network.cut()
        with pytest.raises(JournalUnavailable):
            await writing
        reading = asyncio.ensure_future(journal.get("k"))
        await until_waiting(blocker, 2)
        assert not reading.done()
        await holding.commit()
        await blocker.close()
        assert await reading == sent(kept)


async def test_an_earlier_session_can_write_no_more(postgres: PostgresServer) -> None:
    async with opened(postgres.url()) as journal:
        kept = await journal.add(new())
        await journal.fetch("UPDATE writers SET session = session + 1 RETURNING session")
        with pytest.raises(JournalUnavailable, match="another session of this writer"):
            await journal.update(sent(kept), at_ms=NOW_MS)
        assert await journal.get("k") == kept
        in_air = sent(kept)
        await journal.update(in_air, at_ms=NOW_MS)
        await journal.update(confirmed(in_air, 7), at_ms=NOW_MS)
