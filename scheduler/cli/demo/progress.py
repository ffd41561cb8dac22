"""Where every request stands while they run, for whoever watches."""

from collections import Counter
from enum import StrEnum
from time import monotonic

from .burst import Burst


class Stage(StrEnum):
    """Where a request stands, as its client sees it."""

    QUEUED = "queued"
    IN_AIR = "in the air"
    LOOKING = "looked up"
    """Its answer was lost, and it is looked for in the exchange's records."""
    CONFIRMED = "confirmed"
    REFUSED = "refused"
    LOST = "no answer"
    """Given up, without knowing what became of it."""

    @property
    def is_over(self) -> bool:
        return self in {Stage.CONFIRMED, Stage.REFUSED, Stage.LOST}


class Lane:
    """One account's requests."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.counts: Counter[Stage] = Counter(dict.fromkeys(Stage, 0))
        self.counts[Stage.QUEUED] = size
        self.finished_s: float | None = None

    @property
    def over(self) -> int:
        return sum(count for stage, count in self.counts.items() if stage.is_over)


class Progress:
    """All lanes of one client's run."""

    def __init__(self, client: str, burst: Burst) -> None:
        self.client = client
        self.lanes = {name: Lane(len(orders)) for name, orders in burst.orders.items()}
        self._stages: dict[str, Stage] = {}
        self._started_s: float | None = None

    def start(self) -> None:
        """The requests are sent now."""
        self._started_s = monotonic()

    def move(self, account: str, key: str, stage: Stage) -> None:
        """A request stands somewhere else now."""
        lane = self.lanes[account]
        lane.counts[self._stages.get(key, Stage.QUEUED)] -= 1
        lane.counts[stage] += 1
        self._stages[key] = stage
        if lane.over == lane.size:
            lane.finished_s = self.elapsed_s

    @property
    def elapsed_s(self) -> float:
        return 0.0 if self._started_s is None else monotonic() - self._started_s

    def total(self, stage: Stage) -> int:
        return sum(lane.counts[stage] for lane in self.lanes.values())
