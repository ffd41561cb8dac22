"""How much of a measurement is the collection of garbage."""

import gc
import time
from types import TracebackType
from typing import Self


class Collecting:
    """Processor seconds that the garbage collector takes while this is entered."""

    def __init__(self) -> None:
        self.took_s = 0.0
        self._began_s = 0.0

    def __enter__(self) -> Self:
        gc.callbacks.append(self._told)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        gc.callbacks.remove(self._told)

    def _told(self, phase: str, _: dict[str, int]) -> None:
        if phase == "start":
            self._began_s = time.process_time()
        else:
            self.took_s += time.process_time() - self._began_s
