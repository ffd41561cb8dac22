"""The README's state diagram, drawn from the rules: `python -m tests.state_diagram --write`."""

import sys
from pathlib import Path

from scheduler.lifecycle import MOVES
from scheduler.model import State

README = Path(__file__).parents[1] / "README.md"
BEGIN = (
    "<!-- states: drawn by `python -m tests.state_diagram --write` from scheduler/lifecycle.py -->"
)
END = "<!-- /states -->"


def diagram() -> str:
    """The moves as a Mermaid diagram."""
    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> QUEUED"]
    for before in State:
        after = MOVES.get(before, frozenset())
        lines += [f"    {before} --> {state}" for state in State if state in after]
    lines += [f"    {state} --> [*]" for state in State if state.is_final]
    return "\n".join([*lines, "```"])


def with_diagram(readme: str) -> str:
    """The README with the diagram as the rules have it now."""
    before, rest = readme.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{diagram()}\n{END}{after}"


if __name__ == "__main__":
    if "--write" in sys.argv:
        README.write_text(with_diagram(README.read_text("utf-8")), "utf-8")
    else:
        print(diagram())
