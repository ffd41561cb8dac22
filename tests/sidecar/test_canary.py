"""Secrets, tokens and signatures are in nothing that the sidecar says or keeps."""

import asyncio
import logging
from pathlib import Path

import pytest

from scheduler import Scheduler
from scheduler.sidecar import Client, Sidecar, SidecarOptions
from scheduler.simulator import Simulator

from .house import QUICK, asking, borrow

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]

CANARY = "canary7f3a9"
FORBIDDEN = (CANARY, "signature=")
PATH = "/v1/submissions"


async def test_a_whole_run_gives_nothing_away(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    client = Client(
        name="bot", account="main", api_key=f"{CANARY}-key", secret=f"{CANARY}-client-secret"
    )
    options = SidecarOptions(listen=("127.0.0.1:0",), token=f"{CANARY}-token", clients=(client,))
    told: list[bytes] = [repr(options).encode(), repr(client).encode()]
    async with Simulator(processing_ms=0) as sim:
        account = sim.account("main")
        forbidden = [*FORBIDDEN, account.secret]
        journal = tmp_path / "journal.db"
        async with Scheduler(
            [account], journal=f"sqlite:///{journal}", base_url=sim.base_url, limits=QUICK
        ) as scheduler:
            sidecar = Sidecar(scheduler, options)
            await sidecar.start()
            told.append(repr(sidecar).encode())
            async with (
                asking(sidecar.addresses[0], token=f"{CANARY}-token") as right,
                asking(sidecar.addresses[0], token=f"{CANARY}-wrong") as wrong,
            ):
                sim.fail_next(-3006)
                sim.fail_next("lost_after")
                for number in range(4):
                    answer = await right.ask("POST", f"{PATH}?wait=20", borrow(f"k{number}"))
                    told.append(answer.body)
                for asker in (right, wrong):
                    for method, path in (
                        ("GET", PATH),
                        ("GET", f"{PATH}/k1/history"),
                        ("GET", "/v1/accounts"),
                        ("GET", "/metrics"),
                        ("GET", "/openapi.json"),
                        ("GET", f"{PATH}?signature={CANARY}"),
                        ("GET", f"/nothing?signature={CANARY}"),
                        ("GET", f"/api/v3/nothing?signature={CANARY}"),
                        ("POST", f"/sapi/v1/margin/borrow-repay?signature={CANARY}"),
                        ("GET", f"/sapi/v1/margin/maxBorrowable?asset=USDT&signature={CANARY}"),
                    ):
                        answer = await asker.ask(method, path, headers={"X-MBX-APIKEY": CANARY})
                        told.append(answer.body + str(answer.headers).encode())
            for said in (
                b"GET /?signature=%b FTP/1\r\n\r\n",
                b"GET / HTTP/1.1\r\nsignature=%b\r\n\r\n",
                b"POST /v1/submissions?signature=%b HTTP/1.1\r\nContent-Length: x\r\n\r\n",
            ):
                async with asking(sidecar.addresses[0]) as raw:
                    raw.writer.write(said % CANARY.encode())
                    told.append(await raw.reader.read())
            await asyncio.sleep(0.05)
            await sidecar.aclose()
        told += _kept(tmp_path)
    captured = capfd.readouterr()
    told += [caplog.text.encode(), captured.out.encode(), captured.err.encode()]
    told += [repr(vars(record)).encode() for record in caplog.records]
    assert len(told) > 30
    for each in told:
        for word in forbidden:
            assert word.encode() not in each, f"{word} in {each[:2_000]!r}"


def _kept(where: Path) -> list[bytes]:
    """The journal's files."""
    return [file.read_bytes() for file in where.iterdir()]
