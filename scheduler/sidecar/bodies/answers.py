"""What is told besides, and how everything is written."""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType


class Health(Struct, frozen=True):
    """It runs."""

    status: Literal["ok"]


class ProblemBody(Struct, frozen=True, omit_defaults=True):
    """What went wrong (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    code: Annotated[str, Meta(description="for programs; it stays the same")]
    field: str | UnsetType = UNSET


_encoder = msgspec.json.Encoder()


def encode(answer: Struct) -> bytes:
    return _encoder.encode(answer)
