"""What several of the benchmarks' commands take."""

import argparse


def sizes(text: str) -> list[int]:
    """`10,1000`: whole numbers over 0. Raises argparse.ArgumentTypeError."""
    try:
        found = [int(size) for size in text.split(",")]
    except ValueError:
        found = []
    if not found or min(found) < 1:
        raise argparse.ArgumentTypeError(f"whole numbers over 0, as 10,1000, not {text!r}")
    return found
