"""`carbonnode block` and `carbonnode events`: what the chain made."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from carbonnode.cli.output import Output, show
from carbonnode.cli.session import json_option, node_option, open_wallet, signer_options, with_client

if TYPE_CHECKING:
    from rich.console import Console

    from carbonnode.client import Client


@click.command()
@click.argument("height", type=click.IntRange(min=0), required=False)
@click.option("--count", type=click.IntRange(1, 100), default=1, show_default=True, help="How many blocks, from HEIGHT upwards.")
@node_option
@json_option
def block(height: int | None, count: int, node: str | None, output: Output) -> None:
    """The certified block at HEIGHT (the last without it): header, certificate, counts.

    \b
    Example:
      carbonnode block 42 --json
      carbonnode block 40 --count 10
    """
    import msgspec

    async def work(client: "Client") -> list[Any]:
        first = height if height is not None else max((await client.status()).height - count + 1, 0)
        return [await client.block(first)] if count == 1 else await client.blocks(first, count)

    found = [msgspec.to_builtins(item) for item in with_client(node, work)]
    brief = ("height", "epoch", "time_ms", "transactions", "ok", "events", "size_bytes", "header_hash")

    def render(console: "Console") -> None:
        show(console, {**found[0], "header_raw": "..."} if count == 1 else [{name: item[name] for name in brief} for item in found])

    output.result(found[0] if count == 1 else found, render)


@click.command()
@click.option("--first-height", type=click.IntRange(min=0), help="Start with the events of this height; from now without it.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Stop after so many events.")
@click.option("--timeout", "timeout_s", type=click.FloatRange(min=0.1), help="Stop after so many seconds, however many events came.")
@click.option("--private", is_flag=True, help="Also the events addressed to the entity of the wallet --from.")
@signer_options(required=False)
@node_option
@json_option
def events(
    first_height: int | None,
    limit: int,
    timeout_s: float | None,
    private: bool,
    wallet: str | None,
    wallets: Path | None,
    node: str | None,
    output: Output,
) -> None:
    """Certified events as they come, at most --limit of them.

    \b
    Example:
      carbonnode events --first-height 1 --limit 5
      carbonnode events --private --from st-001 --timeout 30
    """
    import asyncio
    import contextlib

    import msgspec

    if private and not wallet:
        raise click.UsageError("--private needs --from NAME: the wallet whose entity is asked for")
    signer = open_wallet(wallet, wallets) if wallet else None

    async def work(client: "Client") -> list[Any]:
        found: list[Any] = []
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s), contextlib.aclosing(client.events(first_height=first_height, private=private)) as stream:
                async for event in stream:
                    found.append(msgspec.to_builtins(event))
                    if len(found) == limit:
                        break
        return found

    found = with_client(node, work, signer)

    def render(console: "Console") -> None:
        show(console, [{"height": item["height"], **{k: v for k, v in item["event"].items() if k != "tx_id"}} for item in found])

    output.result(found, render)
