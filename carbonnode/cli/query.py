"""`carbonnode query`: a contract's view."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from carbonnode.cli.hints import meaning
from carbonnode.cli.output import Output, note
from carbonnode.cli.session import json_option, node_option, open_wallet, signer_options, with_client

if TYPE_CHECKING:
    from carbonnode.client import Client, QueryAnswer


@click.command()
@click.argument("contract")
@click.argument("view")
@click.option("--arg", "pairs", multiple=True, metavar="NAME=VALUE", help="An argument in its type: 5, text, 0x00ff, true, or a JSON list for a tuple.")
@click.option("--height", type=click.IntRange(min=0), help="A certified height; the last by default.")
@signer_options(required=False)
@node_option
@json_option
def query(
    contract: str,
    view: str,
    pairs: tuple[str, ...],
    height: int | None,
    wallet: str | None,
    wallets: Path | None,
    node: str | None,
    output: Output,
) -> int:
    """Ask CONTRACT's VIEW at a certified height; sign with --from for private figures.

    \b
    Example:
      carbonnode query matching quote --arg book=CEA-2024
      carbonnode query cash balance --arg entity=ST-001 --from st-001
    """
    from carbonnode.chain.arguments import bind_text, find_method, split_pairs
    from carbonnode.cli.tx import abi_of

    named = split_pairs(pairs)
    signer = open_wallet(wallet, wallets) if wallet else None

    async def work(client: "Client") -> "QueryAnswer":
        args = bind_text(contract, find_method(await abi_of(client, contract), view, "view"), named)
        return await client.query(contract, view, *args, height=height)

    return report(output, contract, view, with_client(node, work, signer))


def report(output: Output, contract: str, view: str, answer: "QueryAnswer", fields: tuple[str, ...] = (), *, rows: bool = False) -> int:
    """Print a view's answer, its items named where `fields` name them; the exit status."""
    value = named(answer.value, fields, rows=rows)
    document = {"contract": contract, "view": view, "height": answer.height, "outcome": answer.outcome, "code": answer.code, "value": value}
    if output.json:
        output.result(document)
    elif answer.outcome == "OK":
        output.result(value)
    if answer.outcome != "OK":
        code = answer.code or answer.outcome
        note(f"error [{code}]: the view {contract}.{view} answered {answer.outcome}: {meaning(code, contract)}")
        return 1
    return 0


def named(value: Any, fields: tuple[str, ...], *, rows: bool = False) -> Any:
    """A tuple's items under the names of `fields`, repeatedly with `rows`; an empty tuple that stands for nothing is None; anything else as it is."""
    if not fields or not isinstance(value, list):
        return value
    if rows and len(value) % len(fields) == 0:
        return [dict(zip(fields, value[start : start + len(fields)], strict=True)) for start in range(0, len(value), len(fields))]
    if len(value) == len(fields):
        return dict(zip(fields, value, strict=True))
    return value or None
