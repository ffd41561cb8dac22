"""Load for a running sidecar, from outside, as programs in other languages would make it."""
