"""`carbonnode auction`: the clearing rule of auctions, as the contract on the chain has it. `calc auction` does the same without a node."""

from typing import TYPE_CHECKING, Any

import click

from carbonnode.cli.groups import SuggestingGroup
from carbonnode.cli.output import Output, note, show
from carbonnode.cli.session import json_option, node_option, with_client
from carbonnode.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from carbonnode.client import Client, QueryAnswer


@click.group(cls=SuggestingGroup)
def auction() -> None:
    """The clearing rule of auctions: one price for all, by price, then time. Without a node: `carbonnode calc auction`.

    \b
    Example:
      carbonnode auction clear --supply-t 100 --reserve-fen 5000 --lot-t 10 --bids '[[6000, 60], [5500, 60]]'
    """


def _bids(text: str) -> list[tuple[int, int]]:
    import msgspec

    try:
        return msgspec.json.decode(text, type=list[tuple[int, int]])
    except msgspec.DecodeError as error:
        raise ConfigError(f"--bids is no list of [price_fen, quantity_t]: {error}: write it like '[[6000, 60], [5500, 60]]'") from None


@auction.command("clear")
@click.option("--supply-t", required=True, type=click.IntRange(min=0), help="Tonnes on offer.")
@click.option("--reserve-fen", required=True, type=click.IntRange(min=0), help="The lowest price that is served.")
@click.option("--lot-t", required=True, type=click.IntRange(min=1), help="Tonnes of a lot.")
@click.option("--bids", required=True, metavar="JSON", help="[[price_fen, quantity_t], ...], the earliest first.")
@node_option
@json_option
def clear(supply_t: int, reserve_fen: int, lot_t: int, bids: str, node: str | None, output: Output) -> int:
    """The clearing price, and what each bid gets: anybody can recompute a result from the revealed bids.

    \b
    Example:
      carbonnode auction clear --supply-t 100 --reserve-fen 5000 --lot-t 10 --bids '[[6000, 60], [5500, 60]]' --json
    """
    offered = _bids(bids)
    flat = tuple(number for bid in offered for number in bid)

    async def work(client: "Client") -> "QueryAnswer":
        return await client.query("auction", "clear", supply_t, reserve_fen, lot_t, flat)

    answer = with_client(node, work)
    if answer.outcome != "OK":
        output.result({"outcome": answer.outcome, "code": answer.code})
        note(f"error [{answer.code}]: the contract refuses these terms or bids: prices and quantities are above 0, quantities whole lots")
        return 1
    price, *awards = answer.value
    rows = [{"price_fen": bid[0], "quantity_t": bid[1], "award_t": award} for bid, award in zip(offered, awards, strict=True)]
    document: dict[str, Any] = {"clearing_fen": price, "awards": rows, "height": answer.height}

    def render(console: "Console") -> None:
        show(console, {"clearing_fen": price, "served_t": sum(awards)})
        show(console, rows)

    output.result(document, render)
    return 0
