"""Tells systemd how a service is doing, where it asked to be told (`Type=notify`)."""

import os
import socket
from contextlib import suppress

READY = "READY=1"
STOPPING = "STOPPING=1"


def notify(state: str) -> None:
    """One datagram to the socket that the environment names; nothing where it names none.

    Whoever listens there may be gone: that is no trouble of ours.
    """
    path = os.environ.get("NOTIFY_SOCKET", "")
    if path[:1] not in {"/", "@"} or not hasattr(socket, "AF_UNIX"):
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams:
        datagrams.setblocking(False)
        datagrams.sendto(state.encode(), address)
