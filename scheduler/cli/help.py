"""How help is laid out."""

from typing import Any

import typer
from typer.core import TyperCommand


def examples(*lines: str) -> str:
    """The end of a command's help."""
    # \b keeps a paragraph's lines as they are.
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


class Command(TyperCommand):
    """A command whose options stand under the headings of their panels."""

    def format_options(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]
        headings: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                heading = getattr(parameter, "rich_help_panel", None) or "Options"
                headings.setdefault(heading, []).append(record)
        for heading, records in headings.items():
            with formatter.section(heading):
                formatter.write_dl(records)
