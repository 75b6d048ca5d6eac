"""A certified chain with a served snapshot, and peers that give it truly or not."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from carbonnode.chain.codec import encode
from carbonnode.chain.genesis import ContractSource, Genesis
from carbonnode.chain.header import Header
from carbonnode.ledger.snapshot import make_proof
from carbonnode.node.logs import LogFile, make_logger
from carbonnode.node.snapshot_fetch import SnapshotFetcher
from carbonnode.node.snapshot_install import Installation
from carbonnode.node.snapshot_keeper import SnapshotKeeper
from carbonnode.node.snapshot_writer import SnapshotWriter
from carbonnode.node.sync import serve_blocks
from carbonnode.node.wire import FetchBlocks, FetchChunk, RequestKind, decode_payload
from carbonnode.storage.snapshots import SnapshotDirectory
from carbonnode.storage.space import SpaceGuard
from tests.unit.node.chain_kit import Chain, make_genesis

SOURCE = '"""Ballast {0}."""\n\n\n@view\ndef n() -> int:\n    return {0}\n'
LIMIT = 600
Peer = Callable[[int, bytes], Awaitable[bytes]]


def wide_genesis() -> Genesis:
    """With enough contracts that the state has many chunks of `LIMIT` bytes."""
    small = make_genesis()
    more = tuple(ContractSource(f"ballast{number}", SOURCE.format(number)) for number in range(60))
    return Genesis(
        network=small.network, time_ms=small.time_ms, validators=small.validators.validators, ca_roots=small.ca_roots, contracts=(*small.contracts, *more)
    )


class Server:
    """A validator's side: blocks, and one snapshot at the height the chain had when it was made."""

    def __init__(self, directory: Path, blocks: int = 70) -> None:
        self.chain = Chain(wide_genesis())
        for _ in range(blocks):
            self.chain.grow(self.chain.note())
        self.log_file = LogFile(directory / "server.log")
        log = make_logger(self.log_file, "info")
        self.keeper = SnapshotKeeper(NoExecutor(), SnapshotDirectory(directory / "snapshots"), 10, no_changes, log)
        self.height = self.chain.blocks.height
        self.write(self.chain.executor.ledger.header)

    def close(self) -> None:
        """Close the log."""
        self.log_file.close()

    def write(self, header: Header) -> None:
        """Make the snapshot of the state as it is."""
        self.chain.executor.ledger.flush()
        path = self.keeper.directory.begin(header.height)
        writer = SnapshotWriter(self.chain.executor.kv, header, path, SpaceGuard(path, 1), limit=LIMIT)
        assert writer.work(10**9)
        certificate = self.chain.blocks.certificate(header.height)
        assert certificate is not None
        self.keeper.directory.finish(header.height, encode(make_proof((path / "manifest").read_bytes(), certificate, ())))

    async def answer(self, kind: int, payload: bytes) -> bytes:
        """As an honest validator answers."""
        await asyncio.sleep(0)
        if kind == RequestKind.SNAPSHOTS:
            return encode(self.keeper.offers())
        if kind == RequestKind.SNAPSHOT_PROOF:
            return self.keeper.proof(decode_payload(payload, FetchChunk))
        if kind == RequestKind.SNAPSHOT_CHUNK:
            return self.keeper.chunk(decode_payload(payload, FetchChunk))
        return encode(serve_blocks(self.chain.blocks, decode_payload(payload, FetchBlocks)))


class NoExecutor:
    """`snapshot_keeper.SnapshotExecutor` that never has the state at hand."""

    busy = False

    async def snapshot_begin(self, height: int, directory: Path) -> bool:
        return False

    async def snapshot_work(self, height: int, budget_us: int) -> None:
        return None

    async def snapshot_drop(self) -> None:
        return None


def no_changes(header: Header) -> tuple[()]:
    return ()


class Fetching:
    """`snapshot_fetch.FetchHost` over peers given as functions."""

    def __init__(self, directory: Path, genesis: Genesis, peers: dict[str, Peer]) -> None:
        self.peers = peers
        self.blamed: list[str] = []
        self.asked: list[tuple[str, int]] = []
        self.installation = Installation(directory, genesis)
        self.free = 1 << 40
        self.fetcher = SnapshotFetcher(genesis, self.installation, self.request, self, SpaceGuard(directory, 1000, lambda _path: self.free))

    async def request(self, peer: str, kind: int, payload: bytes, _timeout: float) -> bytes:
        self.asked.append((peer, kind))
        return await self.peers[peer](kind, payload)

    def sync_peers(self, height: int) -> list[str]:
        return [peer for peer in self.peers if peer not in self.blamed]

    def blame(self, peer: str, points: int, why: str) -> None:
        assert points >= 100
        assert why
        self.blamed.append(peer)
