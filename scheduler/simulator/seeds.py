"""Randomness that repeats: one generator an actor."""

from random import Random

Range = tuple[float, float]


class Seeds:
    """Hands out one generator an actor, each from the seed and the actor's name.

    What one actor draws never shifts what another one does, so adding a fault to a run leaves the
    processing times as they were.
    """

    def __init__(self, seed: int | str) -> None:
        self._seed = seed
        self._actors: dict[str, Random] = {}

    def of(self, actor: str) -> Random:
        random = self._actors.get(actor)
        if random is None:
            # S311 is about secrets; here the point is that everybody can predict it.
            random = self._actors[actor] = Random(f"{self._seed}:{actor}")  # noqa: S311
        return random

    def between(self, actor: str, bounds: Range) -> float:
        low, high = bounds
        return low if low == high else self.of(actor).uniform(low, high)
