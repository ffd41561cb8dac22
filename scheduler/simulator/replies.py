"""Replies in the forms the exchange gives them."""

from collections.abc import Mapping
from typing import Any

import orjson

from ..wire import HttpReply
from .refusals import Refusal

JSON = "application/json;charset=UTF-8"
HTML = "text/html; charset=utf-8"


def json_reply(status: int, payload: Any, headers: Mapping[str, str] | None = None) -> HttpReply:
    headers = {"content-type": JSON, **headers} if headers else {"content-type": JSON}
    return HttpReply(status=status, headers=headers, body=orjson.dumps(payload))


def refusal_reply(refusal: Refusal, headers: Mapping[str, str] | None = None) -> HttpReply:
    return json_reply(refusal.status, {"code": refusal.code, "msg": refusal.message}, headers)


def html_reply(status: int, title: str) -> HttpReply:
    body = f"<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"
    return HttpReply(status=status, headers={"content-type": HTML}, body=body.encode())


def read_code(reply: HttpReply) -> int | None:
    """The exchange's code in a reply, None if it carries none."""
    if reply.status == 200 or not reply.headers.get("content-type", "").startswith(
        "application/json"
    ):
        return None
    code = orjson.loads(reply.body)["code"]
    assert isinstance(code, int)
    return code
