"""What a command says: one JSON document, or tables for a person; errors and progress go to stderr."""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console


_FIRST_MOMENT_MS = 10**12
"""The year 2001: a number of ms below that is a duration. Above the year 9999 a number is no date either."""
_LAST_MOMENT_MS = 253_402_300_800_000


class Output:
    """Where an invocation writes. JSON is chosen by `--json`, and where stdout isn't a terminal."""

    def __init__(self) -> None:
        self.forced_json = False
        self.written = False

    @property
    def json(self) -> bool:
        """Whether stdout gets JSON."""
        return self.forced_json or not sys.stdout.isatty()

    def result(self, data: Any, render: "Callable[[Console], None] | None" = None) -> None:
        """The command's one result: `data` as JSON, or what `render` draws (a plain table of `data` without it)."""
        self.written = True
        if self.json:
            import msgspec

            click.echo(msgspec.json.encode(data, enc_hook=str))
            return
        from rich.console import Console

        console = Console(highlight=False)
        if render is not None:
            render(console)
        else:
            show(console, data)


def note(message: str) -> None:
    """A line for people on stderr."""
    click.echo(message, err=True)


def show(console: "Console", data: Any, title: str | None = None) -> None:
    """A table of a mapping, of a list of mappings, or the value itself; lists of mappings within stand below it, each a table of its own."""
    if isinstance(data, Mapping):
        console.print(pairs({name: value for name, value in data.items() if not _records(value)}, title))
        for name, value in data.items():
            if _records(value):
                console.print(f"\n{name}", markup=False)
                show(console, value)
    elif _records(data) and any(_records(value) for row in data for value in row.values()):
        for row in data:
            show(console, row)
    elif _records(data):
        console.print(rows(list(data[0]), [list(row.values()) for row in data], title))
    else:
        console.print(text(data), markup=False)


def _records(data: Any) -> bool:
    """Whether this is a list of mappings with something in it."""
    return isinstance(data, Sequence) and not isinstance(data, str) and bool(data) and all(isinstance(row, Mapping) and row for row in data)


def pairs(data: Mapping[str, Any], title: str | None = None) -> Any:
    """Names and values, one a line."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, show_header=False, box=None, pad_edge=False, title_justify="left")
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in data.items():
        table.add_row(Text(str(name)), Text(named_text(name, value)))
    return table


def rows(header: Sequence[str], lines: Sequence[Sequence[Any]], title: str | None = None) -> Any:
    """A table with a header; numbers stand to the right."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, box=SIMPLE_HEAD, title_justify="left")
    for position, name in enumerate(header):
        numeric = bool(lines) and all(isinstance(line[position], int) and not isinstance(line[position], bool) for line in lines)
        table.add_column(str(name), justify="right" if numeric else "left", overflow="fold")
    for line in lines:
        table.add_row(*[Text(named_text(name, value)) for name, value in zip(header, line, strict=True)])
    return table


def named_text(name: str, value: Any) -> str:
    """A value as a person reads it; a moment in ms, which its name tells, as date and time in UTC."""
    if name.endswith("_ms") and isinstance(value, int) and not isinstance(value, bool) and _FIRST_MOMENT_MS <= value < _LAST_MOMENT_MS:
        from datetime import UTC, datetime

        seconds, ms = divmod(value, 1000)
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}.{ms:03d}Z"
    return text(value)


def text(value: Any) -> str:
    """A value as a person reads it."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, Mapping):
        if list(value) == ["hex"]:
            return "0x" + str(value["hex"])
        return ", ".join(f"{name}={text(item)}" for name, item in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(text(item) for item in value)
    return str(value)
