"""What a client was told of one request, in the end."""

from dataclasses import dataclass

from .progress import Stage


@dataclass(frozen=True, slots=True)
class Told:
    """A transaction id, or the code of a refusal, or neither."""

    tran_id: int | None = None
    code: int | None = None

    @property
    def stage(self) -> Stage:
        if self.tran_id is not None:
            return Stage.CONFIRMED
        return Stage.LOST if self.code is None else Stage.REFUSED
