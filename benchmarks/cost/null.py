"""An exchange that costs nothing: every borrow is answered at once, in process."""

import asyncio
import time
from itertools import count

from scheduler.wire import HttpReply, HttpRequest


class NullTransport:
    """Answers what a scheduler has to ask; borrows only while it is open."""

    def __init__(self) -> None:
        self._tran_ids = count(1)
        self._may_answer = asyncio.Event()
        self._may_answer.set()

    def open(self) -> None:
        self._may_answer.set()

    def close(self) -> None:
        """Keep whoever borrows waiting."""
        self._may_answer.clear()

    async def send(self, request: HttpRequest) -> HttpReply:
        if request.method == "POST":
            if not self._may_answer.is_set():
                await self._may_answer.wait()
            return HttpReply(status=200, body=b'{"tranId":%d}' % next(self._tran_ids))
        if request.path == "/api/v3/time":
            return HttpReply(status=200, body=b'{"serverTime":%d}' % (time.time_ns() // 1_000_000))
        return HttpReply(status=404, body=b'{"code":-1020,"msg":"not here"}')

    async def aclose(self) -> None:
        pass
