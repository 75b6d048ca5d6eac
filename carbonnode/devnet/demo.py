"""`devnet demo`: the market year on a running devnet, its summary, and one trade's proof, verified offline by a process that knows no network."""

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from carbonnode.chain.certificate import Certificate, verify_certificate
from carbonnode.chain.codec import decode
from carbonnode.chain.genesis import Genesis, parse_genesis
from carbonnode.chain.header import Header
from carbonnode.client import BlockInfo, Client
from carbonnode.devnet import processes
from carbonnode.devnet.layout import Description, Layout, NodeEntry
from carbonnode.devnet.processes import DevnetError
from carbonnode.devnet.up import running_nodes
from carbonnode.devnet.wallets import Wallets
from carbonnode.devnet.year_calendar import REGISTRATION, market_ms
from carbonnode.devnet.year_data import read_prices, read_stations
from carbonnode.devnet.year_journal import YearJournal
from carbonnode.devnet.year_network import NetworkMarket, patiently
from carbonnode.devnet.year_ports import Watcher, YearError
from carbonnode.devnet.year_steps import RULE_SET, Year, whole
from carbonnode.devnet.year_summary import outcome_digest, summarize
from carbonnode.devnet.year_trading import run_year
from carbonnode.errors import RemoteError
from carbonnode.resources import genesis_dir

PLANTS = "nger_2017_18_thermal.csv"
PRICES = "cea_daily_2025_11.csv"
CATCH_UP_S = 120.0
PAGE = 100
PROOF_FILE = "trade.proof.json"


async def run_demo(directory: Path, watcher: Watcher, *, plants: Path | None = None, prices: Path | None = None) -> dict[str, Any]:
    """Play the year and return its summary. A run that broke off goes on where it stood; a finished year is summed up again.

    Raises `ConfigError` for bad files, `DevnetError` or `YearError` when the network isn't fit for it.
    """
    layout = Layout(directory)
    description = layout.describe()
    data = genesis_dir() / "data"
    stations, days = read_stations(plants or data / PLANTS), read_prices(prices or data / PRICES)
    genesis = parse_genesis(layout.genesis_path.read_bytes(), layout.genesis_path)
    journal = YearJournal(layout.year)
    market = NetworkMarket(description.nodes, genesis, Wallets(layout.wallets, layout.passphrase()), journal)
    try:
        await _check_fit(market, journal, layout)
        first = (await market.client.status()).height
        year = Year(market, watcher, stations, days)
        await run_year(year)
        watcher.phase("reading the year from the ledger", 1)
        summary = await summarize(market, stations, [day.day for day in days])
        watcher.advance(1)
        chain = await _chain(market, description, genesis)
        proof = await _prove(market, layout, year, summary)
    finally:
        await market.close()
        journal.close()
    head = {"network": description.network, "directory": str(layout.directory), "chain_id": genesis.chain_id.hex()}
    chain |= {"first_height": first, "resumed": market.resumed > 0, "api": description.nodes[0].api}
    return head | summary | {"outcome_digest": outcome_digest(summary), "chain": chain, "proof": proof}


async def _check_fit(market: NetworkMarket, journal: YearJournal, layout: Layout) -> None:
    """Raise `DevnetError` unless the network answers and its market clock stands before the year, or this year was begun here."""
    if not running_nodes(layout, layout.describe()):
        raise DevnetError(f"the devnet in {layout.directory} doesn't run: start it with `carbonnode devnet up --dir {layout.directory}`", code="stopped")
    status = await patiently(market.client.status, "the devnet's status", CATCH_UP_S)
    offset = whole(await market.view("rules", "number", RULE_SET, "market_utc_offset_ms"), "market_utc_offset_ms")
    if not len(journal) and status.time_ms >= market_ms(REGISTRATION, offset):
        raise DevnetError(
            f"this network's market clock is past the year's beginning, and {layout.year} knows nothing of it: "
            f"`carbonnode devnet down --dir {layout.directory}`, remove the folder, and bring up a new one"
        )


async def _chain(market: NetworkMarket, description: Description, genesis: Genesis) -> dict[str, Any]:
    """Blocks and transactions, and that all nodes name one state root at one height, under a certificate checked here."""
    height = market.height
    blocks = await _all_blocks(market.client, height)
    rows = await asyncio.gather(*[_header_of(node, height, genesis) for node in description.nodes])
    validators = [row for row in rows if row["role"] != "user"]
    return {
        "height": height,
        "blocks": len(blocks),
        "seconds": _seconds(blocks),
        "transactions": sum(block.transactions for block in blocks),
        "transactions_ok": sum(block.ok for block in blocks),
        "state_root": validators[0]["state_root"],
        "header_hash": validators[0]["header_hash"],
        "one_root": len({row["state_root"] for row in rows}) == 1,
        "validators": validators,
        "users": [row for row in rows if row["role"] == "user"],
    }


def _seconds(blocks: Sequence[BlockInfo]) -> float:
    """Real time from the first block with a transaction to the last."""
    busy = [block.time_ms for block in blocks if block.transactions]
    return (busy[-1] - busy[0]) / 1000 if busy else 0.0


async def _all_blocks(client: Client, height: int) -> list[BlockInfo]:
    blocks: list[BlockInfo] = []
    while len(blocks) < height:
        first = len(blocks) + 1
        blocks += [b for b in await patiently(partial(_page, client, first), f"block {first}") if b.height <= height]
    return blocks


async def _page(client: Client, first: int) -> list[BlockInfo]:
    found = await client.blocks(first, PAGE)
    if not found:
        raise RemoteError(f"{client.url} doesn't have block {first} yet", code="not-ready")
    return found


async def _header_of(node: NodeEntry, height: int, genesis: Genesis) -> dict[str, Any]:
    """A node's header of a height, its hash recomputed and its certificate verified against genesis. Raises `InvalidBlock` if it doesn't hold."""
    async with Client(node.api, chain_id=genesis.chain_id) as client:

        async def ask() -> BlockInfo:
            await client.wait_for_height(height)
            return await client.block(height)

        block = await patiently(ask, f"block {height} of {node.name}", CATCH_UP_S)
    header = decode(bytes.fromhex(block.header_raw), Header)
    found = block.certificate
    if found is None or header.hash.hex() != found.header_hash or header.height != height:
        raise YearError(f"{node.name} shows block {height} without a certificate of its header")
    votes = tuple((index, bytes.fromhex(signature)) for index, signature in found.votes)
    verify_certificate(Certificate(found.epoch, found.height, header.hash, votes), genesis.validators, genesis.chain_id)
    row = {"name": node.name, "role": node.role, "organisation": node.organisation, "height": height, "header_hash": header.hash.hex()}
    return row | {"state_root": header.state_root.hex(), "signers": len(votes)}


async def _prove(market: NetworkMarket, layout: Layout, year: Year, summary: dict[str, Any]) -> dict[str, Any]:
    """Export the proof of the first trade's transaction, and have `carbonnode verify` check it in a process of its own."""
    if year.first_trade is None:
        raise YearError("the year had no trade to prove")
    tx_id = year.first_trade.tx_id.hex()
    file = layout.year / PROOF_FILE
    file.write_bytes(await patiently(lambda: market.client.proof(tx_id), f"proof of {tx_id}"))
    voucher = next((t["voucher"] for t in summary["trades"] if t["height"] == year.first_trade.height), "")
    verdict = await asyncio.to_thread(verify_offline, file, layout.genesis_path)
    return {"file": str(file), "voucher": voucher, "tx_id": tx_id, **{k: verdict.get(k) for k in ("verified", "status", "height", "header_hash", "signers")}}


def verify_offline(file: Path, genesis: Path) -> dict[str, Any]:
    """What `carbonnode verify FILE --genesis FILE --json` says, run with no network in reach of its arguments."""
    command: Sequence[str] = [sys.executable, "-m", "carbonnode", "verify", str(file), "--genesis", str(genesis), "--json"]
    done = subprocess.run(command, capture_output=True, check=False, env=processes.package_environment())
    try:
        verdict: dict[str, Any] = msgspec.json.decode(done.stdout)
    except msgspec.DecodeError:
        raise DevnetError(f"carbonnode verify gave no JSON: {done.stderr.decode(errors='replace').strip()}") from None
    return verdict
