"""`carbonnode devnet`: a whole network on this machine, and the market year on it."""

import asyncio
import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from carbonnode.cli.groups import SuggestingGroup
from carbonnode.cli.output import Output, note
from carbonnode.cli.session import output_of

if TYPE_CHECKING:
    from rich.console import Console

F = TypeVar("F", bound=Callable[..., Any])


def json_flag(function: F) -> F:
    """`--json`, and tables without it, on a terminal or not: what `make devnet` prints is for people, in a log too. The command gets `output`."""

    @functools.wraps(function)
    def wrapped(*args: Any, as_json: bool, **kwargs: Any) -> Any:
        output = output_of(click.get_current_context())
        output.forced_json = output.forced_json or as_json
        return function(*args, output=output, **kwargs)

    return click.option("--json", "as_json", is_flag=True, help="Print exactly one JSON document.")(wrapped)  # type: ignore[return-value]


dir_option = click.option("--dir", "directory", default=".devnet", show_default=True, type=click.Path(file_okay=False, path_type=Path), help="Its directory.")


@click.group(cls=SuggestingGroup)
def devnet() -> None:
    """A network of validators and user nodes on this machine, with a throw-away certificate authority.

    \b
    Example:
      carbonnode devnet up
      carbonnode devnet demo
      carbonnode devnet down
    """


@devnet.command()
@click.option("--validators", default=4, show_default=True, help="Validators; super and coordination nodes by halves.")
@click.option("--users", default=1, show_default=True, help="User nodes, the first of Origin Energy.")
@dir_option
@click.option("--base-port", type=int, help="Node i listens on base+10i for peers and on the next port for HTTP. Default: 27000, or the next free base.")
@click.option("--if-running", type=click.Choice(["fail", "keep"]), default="fail", show_default=True, help="What to do when this devnet runs already.")
@json_flag
def up(validators: int, users: int, directory: Path, base_port: int | None, if_running: str, output: Output) -> None:
    """Make a network (or start the one in --dir again) and return when it makes blocks.

    \b
    Example:
      carbonnode devnet up --validators 4 --users 1 --base-port 28000
    """
    from carbonnode.devnet.processes import DevnetError
    from carbonnode.devnet.status import status
    from carbonnode.devnet.up import up as bring_up

    try:
        asyncio.run(bring_up(directory, validators=validators, users=users, base_port=base_port, tell=note))
    except DevnetError as error:
        if error.code != "running" or if_running != "keep":
            raise
        note(str(error))
    data = asyncio.run(status(directory))
    _show_nodes(output, data)


@devnet.command()
@dir_option
@json_flag
def status(directory: Path, output: Output) -> None:
    """The nodes: process, height, state root, view, peers.

    \b
    Example:
      carbonnode devnet status --json
    """
    from carbonnode.devnet.status import status as ask

    _show_nodes(output, asyncio.run(ask(directory)))


@devnet.command()
@dir_option
@json_flag
def down(directory: Path, output: Output) -> None:
    """End the network's processes, those and no others; its data stays.

    \b
    Example:
      carbonnode devnet down
    """
    from carbonnode.devnet.status import down as stop

    data = stop(directory)
    note(f"stopped {', '.join(data['stopped'])}" if data["stopped"] else "no process of this devnet was running")
    if output.forced_json:
        output.result(data)


@devnet.command()
@dir_option
@click.option("--plants", type=click.Path(dir_okay=False, path_type=Path), help="Stations as CSV. Default: the shipped table of 187 stations.")
@click.option("--prices", type=click.Path(dir_okay=False, path_type=Path), help="Trading days as CSV. Default: the shipped ten days.")
@json_flag
def demo(directory: Path, plants: Path | None, prices: Path | None, output: Output) -> None:
    """One market year on real data: registration, reports, allocation, ten trading days, surrender, a penalty.

    Live progress goes to stderr. Interrupted, it goes on where it stood; finished, it is summed up again from the ledger.

    \b
    Example:
      carbonnode devnet demo --json > year.json
    """
    from rich.console import Console

    from carbonnode.devnet.demo import run_demo
    from carbonnode.devnet.screen import Screen, draw_summary

    with Screen(Console(stderr=True)) as screen:
        data = asyncio.run(run_demo(directory, screen, plants=plants, prices=prices))
    if output.forced_json:
        output.result(data)
    else:
        draw_summary(Console(highlight=False), data)


def _show_nodes(output: Output, data: dict[str, Any]) -> None:
    def render(console: "Console") -> None:
        from rich.table import Table

        table = Table(box=None, padding=(0, 1), header_style="dim")
        for name in ("node", "pid", "height", "state root", "view", "peers", "api"):
            table.add_column(name, justify="right" if name in {"pid", "height", "view", "peers"} else "left", no_wrap=True)
        for node in data["nodes"]:
            root = (node["state_root"] or node["state"])[:12]
            cells = (node["name"], node["pid"], node["height"], root, node["view"], node["peers"], node["api"].removeprefix("http://"))
            table.add_row(*["-" if cell is None else str(cell) for cell in cells])
        console.print(table)

    if output.forced_json:
        output.result(data)
    else:
        from rich.console import Console

        render(Console(highlight=False))
