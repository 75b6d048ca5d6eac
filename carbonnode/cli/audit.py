"""`carbonnode audit`: what a node says, recomputed."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from carbonnode.cli.groups import SuggestingGroup
from carbonnode.cli.output import Output, note, show
from carbonnode.cli.session import json_option, node_option, node_urls, open_wallet, read_file, signer_options, with_client

if TYPE_CHECKING:
    from rich.console import Console

    from carbonnode.client import Client


@click.group(cls=SuggestingGroup)
def audit() -> None:
    """Recompute what nodes say: the chain of blocks, agreement between nodes, the sums of the market. One transaction: `carbonnode verify`.

    \b
    Example:
      carbonnode audit chain --genesis genesis.json
    """


def _end(output: Output, found: dict[str, Any], rows: str, problems: list[str]) -> int:
    def render(console: "Console") -> None:
        show(console, {name: value for name, value in found.items() if name != rows})
        if found[rows]:
            show(console, found[rows])

    output.result(found, render)
    for problem in problems:
        note(f"error [audit]: {problem}")
    return 0 if found["ok"] else 1


@audit.command("chain")
@click.option("--genesis", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The network's genesis file, from a source you trust.")
@click.option("--first", type=click.IntRange(min=0), default=0, show_default=True, help="The first height.")
@click.option("--last", type=click.IntRange(min=0), help="The last height; the tip without it.")
@node_option
@json_option
def chain(genesis: Path, first: int, last: int | None, node: str | None, output: Output) -> int:
    """Fetch a node's blocks and check each: its hash, its place behind the one before, its certificate by a quorum. Exit status 1 if anything is off.

    \b
    Example:
      carbonnode audit chain --genesis .devnet/genesis.json --first 1 --last 500
    """
    from carbonnode.chain.genesis import parse_genesis
    from carbonnode.client.audit import audit_chain

    if last is not None and last < first:
        raise click.UsageError(f"--last {last} lies before --first {first}: nothing would be audited")
    trusted = parse_genesis(read_file(genesis, "genesis file"), genesis)

    async def work(client: "Client") -> dict[str, Any]:
        return await audit_chain(client, trusted, first, last)

    found = with_client(node, work)
    if found["unknown_sets"]:
        note(f"certificates by {found['unknown_sets']} former validator set(s) were not verified: check a proof file of their time (tx show --proof)")
    return _end(output, found, "problems", found["problems"])


@audit.command("nodes")
@click.argument("urls", nargs=-1, metavar="[URL]...")
@json_option
def nodes(urls: tuple[str, ...], output: Output) -> int:
    """Compare the header hash of nodes at the highest height that all of them have; without URLs those of the devnet. Exit status 1 if they differ.

    \b
    Example:
      carbonnode audit nodes http://127.0.0.1:27001 http://127.0.0.1:27011
    """
    import asyncio
    from contextlib import AsyncExitStack

    from carbonnode.client import Client
    from carbonnode.client.audit import audit_nodes

    async def work() -> dict[str, Any]:
        async with AsyncExitStack() as stack:
            return await audit_nodes([await stack.enter_async_context(Client(url)) for url in urls or node_urls(None)])

    found = asyncio.run(work())
    problems = [] if found["ok"] else [f"block {found['height']} differs between nodes: keep their logs, and ask their operators (doctor)"]
    return _end(output, found, "nodes", problems)


@audit.command("totals")
@signer_options(required=False)
@node_option
@json_option
def totals(wallet: str | None, wallets: Path | None, node: str | None, output: Output) -> int:
    """Balance the sums of every vintage and of the money; with --from a member's wallet, add up all single holdings too. Exit status 1 if a sum is off.

    \b
    Example:
      carbonnode audit totals
      carbonnode audit totals --from authority-1
    """
    from carbonnode.client.audit import audit_totals

    signer = open_wallet(wallet, wallets) if wallet else None

    async def work(client: "Client") -> dict[str, Any]:
        return await audit_totals(client, single=signer is not None)

    found = with_client(node, work, signer)
    off = [f"{row['what']}: {row['stated']} stated, {row['added']} added up at height {found['height']}" for row in found["rows"] if not row["ok"]]
    return _end(output, found, "rows", off)
