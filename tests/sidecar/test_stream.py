"""Following the events: what a reader sees, how it comes back, and what it cannot have missed."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import orjson
import pytest

from scheduler.model import State
from scheduler.sidecar import stream as stream_module
from scheduler.sidecar.stream import BATCH_MAX, COMMENT_S, READERS_MAX, RING_MAX, Stream

from ..build import NOW_MS, entry
from ..test_watch import alarm
from .house import TOKEN, asking, house

pytestmark = pytest.mark.anyio

Block = dict[str, str]


class Reader:
    """Reads a stream as EventSource does, and remembers where it is."""

    def __init__(self, chunks: AsyncGenerator[bytes, None], last_id: str | None = None) -> None:
        self._chunks = chunks
        self._blocks: list[Block] = []
        self.last_id = last_id
        self.comments = 0

    async def event(self) -> Block:
        """The next event; blocks without data set the id, and no more."""
        while True:
            while not self._blocks:
                self._blocks = [_fields(b) for b in (await anext(self._chunks)).split(b"\n\n")[:-1]]
            block = self._blocks.pop(0)
            self.last_id = block.get("id", self.last_id)
            self.comments += "" in block
            if "data" in block:
                return block

    async def keys(self, count: int) -> list[str]:
        return [orjson.loads((await self.event())["data"])["key"] for _ in range(count)]


def _fields(block: bytes) -> Block:
    pairs = (line.partition(": ") for line in block.decode().split("\n"))
    return {name: value for name, _, value in pairs}


async def begin(stream: Stream, account: str | None = None, last_id: str | None = None) -> Reader:
    """A reader that is there: what happens from now on is for it."""
    reader = Reader(stream.read(account, last_id), last_id)
    first = await anext(reader._chunks)
    for block in map(_fields, first.split(b"\n\n")[:-1]):
        reader.last_id = block.get("id", reader.last_id)
        assert "data" not in block
    return reader


def happen(stream: Stream, first: int, last: int, account: str = "main") -> None:
    for number in range(first, last + 1):
        stream.changed(None, entry(key=f"k{number}", account=account))


async def test_changes_and_alarms_come_in_order_and_are_numbered() -> None:
    stream = Stream()
    reader = await begin(stream)
    stream.changed(None, entry())
    stream.changed(State.QUEUED, entry(State.CONFIRMED))
    stream.alarmed(alarm())
    seen = [await reader.event() for _ in range(3)]
    assert [block["event"] for block in seen] == ["entry", "entry", "alarm"]
    numbers = [int(block["id"]) for block in seen]
    assert numbers == list(range(numbers[0], numbers[0] + 3))
    assert orjson.loads(seen[1]["data"])["state"] == "CONFIRMED"
    assert orjson.loads(seen[2]["data"]) == {
        "at_ms": NOW_MS,
        "account": "main",
        "key": None,
        "cause": "journal",
        "message": "alarm 1",
    }


async def test_a_reader_of_one_account_gets_that_account_and_what_concerns_all() -> None:
    stream = Stream()
    reader = await begin(stream, "main")
    happen(stream, 1, 1, "other")
    stream.alarmed(alarm(2, "other"))
    stream.alarmed(alarm(3, None))
    happen(stream, 4, 4)
    assert (await reader.event())["event"] == "alarm"
    assert await reader.keys(1) == ["k4"]


async def test_a_reader_that_comes_back_misses_nothing_and_sees_nothing_twice() -> None:
    stream = Stream()
    reader = await begin(stream)
    happen(stream, 1, 5)
    assert await reader.keys(3) == ["k1", "k2", "k3"]
    happen(stream, 6, 7)
    back = await begin(stream, last_id=reader.last_id)
    assert await back.keys(4) == ["k4", "k5", "k6", "k7"]


async def test_a_reader_cut_off_while_it_catches_up_goes_on_from_there() -> None:
    stream = Stream()
    reader = await begin(stream)
    happen(stream, 1, 3 * BATCH_MAX)
    await reader.keys(1)
    back = await begin(stream, last_id=reader.last_id)
    again = await begin(stream, last_id=back.last_id)
    assert await again.keys(3 * BATCH_MAX - 1) == [f"k{n}" for n in range(2, 3 * BATCH_MAX + 1)]


async def test_a_reader_that_saw_no_event_yet_misses_none_either() -> None:
    stream = Stream()
    happen(stream, 1, 3)
    reader = await begin(stream)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await reader.event()
    happen(stream, 4, 5)
    back = await begin(stream, last_id=reader.last_id)
    assert await back.keys(2) == ["k4", "k5"]


@pytest.mark.parametrize("last_id", ["", "x", "-1", "0", "1", "99999999999999999999", "1e3", "٣"])
async def test_an_id_that_was_never_given_resets(last_id: str) -> None:
    stream = Stream()
    happen(stream, 1, 3)
    reader = await begin(stream, last_id=last_id)
    assert (await reader.event())["event"] == "reset"
    happen(stream, 4, 4)
    assert await reader.keys(1) == ["k4"]


async def test_an_id_of_an_earlier_process_resets() -> None:
    for _ in range(200):
        earlier, later = Stream(), Stream()
        before = await begin(earlier)
        happen(earlier, 1, 3)
        happen(later, 1, 3)
        await before.keys(2)
        reader = await begin(later, last_id=before.last_id)
        assert (await reader.event())["event"] == "reset"


async def test_an_id_that_is_too_old_resets_and_the_oldest_kept_does_not() -> None:
    stream = Stream()
    reader = await begin(stream)
    happen(stream, 1, 1)
    await reader.keys(1)
    happen(stream, 2, RING_MAX + 1)
    back = await begin(stream, last_id=reader.last_id)
    assert await back.keys(RING_MAX) == [f"k{number}" for number in range(2, RING_MAX + 2)]
    happen(stream, 1, 1)
    late = await begin(stream, last_id=reader.last_id)
    assert (await late.event())["event"] == "reset"
    # And after the reset it goes on from now, without a second one.
    again = await begin(stream, last_id=late.last_id)
    happen(stream, 5, 5)
    assert await again.keys(1) == ["k5"]


async def test_a_reader_that_falls_too_far_behind_is_reset() -> None:
    stream = Stream()
    reader = await begin(stream)
    happen(stream, 1, RING_MAX + 1)
    assert (await reader.event())["event"] == "reset"


async def test_in_silence_a_comment_comes_every_15_s() -> None:
    stream = Stream()
    reader = await begin(stream)
    asyncio.get_running_loop().call_later(4 * COMMENT_S - 1, happen, stream, 1, 1)
    await reader.keys(1)
    assert reader.comments == 3


async def test_a_reader_of_a_quiet_account_can_come_back_after_much_that_was_not_for_it() -> None:
    stream = Stream()
    reader = await begin(stream, "main")
    waiting = asyncio.ensure_future(reader.event())
    for _ in range(3):
        happen(stream, 1, RING_MAX - 1, "other")
        await asyncio.sleep(COMMENT_S + 1)
    waiting.cancel()
    back = await begin(stream, "main", last_id=reader.last_id)
    happen(stream, 7, 7)
    assert await back.keys(1) == ["k7"]


async def test_readers_end_when_the_stream_does_after_what_there_was() -> None:
    stream = Stream()
    reader = await begin(stream)
    happen(stream, 1, 2)
    stream.close()
    assert await reader.keys(2) == ["k1", "k2"]
    with pytest.raises(StopAsyncIteration):
        await reader.event()


async def test_a_reader_that_left_is_forgotten() -> None:
    stream = Stream()
    readers = [stream.read(None, None) for _ in range(READERS_MAX)]
    for chunks in readers:
        await anext(chunks)
    assert stream.is_full
    async with aclosing(readers[0]):
        pass
    assert not stream.is_full


@pytest.mark.real_time
async def test_events_over_the_socket_and_back_again() -> None:
    async with house() as at:
        async with asking(at.address) as asker:
            asker.writer.write(asker.request("GET", "/v1/events?account=main"))
            status, headers = await asker.head()
            assert (status, headers["content-type"]) == (200, "text/event-stream")
            assert await asker.event() == {"retry": "2000"}
            last_id = (await asker.event())["id"]
            await at.scheduler.borrow("main", "USDT", "1", key="k1")
            seen = [await asker.event() for _ in range(3)]
            states = [orjson.loads(block["data"])["state"] for block in seen]
            assert states == ["QUEUED", "SENT", "CONFIRMED"]
        async with asking(at.address) as asker:
            asker.writer.write(
                asker.request("GET", "/v1/events", headers={"Last-Event-ID": last_id})
            )
            await asker.head()
            await asker.event()
            await asker.event()
            assert [await asker.event() for _ in range(3)] == seen
        async with asking(at.address) as asker:
            asker.writer.write(asker.request("GET", "/v1/events", headers={"Last-Event-ID": "1"}))
            await asker.head()
            await asker.event()
            assert (await asker.event())["event"] == "reset"


@pytest.mark.real_time
async def test_only_so_many_may_follow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "READERS_MAX", 1)
    async with house() as at, asking(at.address) as first, asking(at.address) as second:
        first.writer.write(first.request("GET", "/v1/events"))
        await first.head()
        await first.event()
        answer = await second.ask("GET", "/v1/events")
        assert (answer.status, answer.code) == (503, "too_many_readers")
        assert TOKEN.encode() not in answer.body
