"""The bench's own devnet: four validators, a genesis whose market is always open, accounts with units and cash."""

import asyncio
import time
from pathlib import Path
from typing import Any

import httpx
import msgspec

from carbonnode.chain.signing import Signer
from carbonnode.chain.transaction import Call, Transaction
from carbonnode.devnet.layout import Layout
from carbonnode.devnet.status import down, status
from carbonnode.devnet.up import Tell, start_node, up
from carbonnode.devnet.wallets import Wallets
from tests.load import accounts as acc

MEMBERS = {"exchange": "super-1", "registry": "super-2", "authority": "coordination-1", "verifier": "coordination-2"}


class BenchNetwork:
    """A devnet in `directory` whose market never closes."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.nodes: list[dict[str, Any]] = []
        self.chain_id = b""

    async def up(self, tell: Tell) -> None:
        """Start; raises `DevnetError` when a network runs in the directory already."""
        await up(self.directory, users=0, overrides={"always_open": 1}, tell=tell)
        await self.refresh()

    async def refresh(self) -> None:
        """Read pids and addresses again."""
        self.nodes = (await status(self.directory))["nodes"]

    def down(self) -> None:
        """End every process."""
        down(self.directory)

    @property
    def urls(self) -> list[str]:
        """HTTP addresses, one a validator."""
        return [str(node["api"]) for node in self.nodes]

    @property
    def pids(self) -> list[int]:
        """Process ids, one a validator."""
        return [int(node["pid"] or 0) for node in self.nodes]

    @property
    def names(self) -> list[str]:
        """Names, in the order of `urls`."""
        return [str(node["name"]) for node in self.nodes]

    def member(self, role: str) -> Signer:
        """The signing key of the member with this role, from the devnet's throw-away wallets."""
        layout = Layout(self.directory)
        return Wallets(layout.wallets, layout.passphrase_path.read_text().strip()).signer(MEMBERS[role])

    def restart(self, name: str) -> None:
        """Start a killed validator's process again."""
        layout = Layout(self.directory)
        start_node(layout, next(node for node in layout.describe().nodes if node.name == name))


async def submit_all(url: str, transactions: list[Transaction], timeout_s: float = 120.0) -> None:
    """Submit, wait until all are final with status OK; raises `RuntimeError` naming the first that isn't."""
    async with httpx.AsyncClient(timeout=60.0, trust_env=False) as client:
        deadline = time.monotonic() + timeout_s
        for start in range(0, len(transactions), 20):
            part = transactions[start : start + 20]
            await client.post(
                f"{url}/v1/transactions/batch", content=msgspec.msgpack.encode([tx.raw for tx in part]), headers={"content-type": "application/msgpack"}
            )
            ids = [tx.id.hex() for tx in part]
            while True:
                response = await client.post(f"{url}/v1/transactions/status", json={"tx_ids": ids, "wait_ms": 20_000})
                response.raise_for_status()
                found = msgspec.json.decode(response.content)["transactions"]
                if all(item["status"] == "final" for item in found):
                    break
                if time.monotonic() > deadline:
                    raise RuntimeError(f"not final after {timeout_s} s: {found[0]}")
            bad = [item for item in found if item["outcome"] != "OK"]
            if bad:
                raise RuntimeError(f"a set-up transaction failed: {bad[0]}")


async def furnish(network: BenchNetwork, accounts: tuple[acc.Account, ...]) -> None:
    """Instrument, vintage, book, trading day; then every account registered with units and cash."""
    url = network.urls[0]
    async with httpx.AsyncClient(timeout=30.0, trust_env=False) as client:
        now = msgspec.json.decode((await client.get(f"{url}/v1/status")).content)
    network.chain_id = bytes.fromhex(now["chain_id"])
    valid_until = now["height"] + now["validity_blocks"] - 50
    authority, registry, exchange = network.member("authority"), network.member("registry"), network.member("exchange")

    def signed(signer: Signer, calls: list[Call], tag: str, size: int = 32) -> list[Transaction]:
        return acc.sign_calls(network.chain_id, signer, acc.batches_of_calls(calls, size), valid_until, tag)

    cap_t = acc.UNITS_T * len(accounts)
    await submit_all(url, signed(registry, [Call("allowance", "create_instrument", ("CEA", "allowance", "AU", 1))], "instrument"))
    await submit_all(url, signed(authority, [Call("allowance", "open_vintage", ("CEA", 2024, cap_t, 0))], "vintage"))
    await submit_all(url, signed(exchange, [Call("matching", "open_book", (acc.BOOK, 6_196)), Call("matching", "open_day", ())], "book"))
    await submit_all(url, signed(authority, acc.admit_calls(accounts), "admit"))
    await submit_all(url, signed(authority, acc.issue_calls(accounts), "issue"))
    await submit_all(url, signed(registry, acc.deposit_calls(accounts), "deposit"))


async def settle_down(seconds: float) -> None:
    """Let the machine go idle before something is timed (the one place where only time helps)."""
    await asyncio.sleep(seconds)
