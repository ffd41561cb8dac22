"""HTTP in front of a scheduler: the native API, the gateway for bots, metrics.

`serve` is all that a program with a scheduler of its own needs.
"""

from .options import Client, SidecarOptions
from .server import Sidecar, serve

__all__ = ["Client", "Sidecar", "SidecarOptions", "serve"]
