"""Catch-up of a validator: certified blocks from peers, each verified against the chain of validator sets, executed again, stored.

A peer is never believed: the header must link to ours, its certificate must hold for the set our own state names, batch and transactions must be
those of the header. Executing them must then give exactly that header: where it doesn't, we are at fault, not the peer.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from carbonnode.chain.batch import Batch
from carbonnode.chain.certificate import Certificate, verify_certificate
from carbonnode.chain.codec import decode, encode
from carbonnode.chain.header import Header
from carbonnode.chain.merkle import leaf_hash, tree_head
from carbonnode.chain.transaction import Transaction
from carbonnode.chain.validators import ValidatorSet
from carbonnode.errors import InvalidBlock, InvalidTransaction, InvariantViolation, PeerViolation, RemoteError
from carbonnode.node.executor_client import DeadlyTransaction
from carbonnode.node.pipeline import Pipeline
from carbonnode.node.ports import ExecutorPort, Fatal
from carbonnode.node.wire import FetchBlocks, Raws, RequestKind, SyncBlock, decode_payload
from carbonnode.storage.blocks import BlockStore

BLOCKS_A_REQUEST = 64
BYTES_A_REQUEST = 8 * 1024 * 1024
REQUEST_TIMEOUT_S = 1.5
ROUND_S = 1.5
"""A sync that finds nothing is over within about two seconds."""
BAD_BLOCK_POINTS = 100


@dataclass(frozen=True, slots=True)
class _Verified:
    """A block that nobody but a quorum vouches for."""

    header: Header
    batch: Batch
    transactions: list[Transaction]
    block: SyncBlock


Request = Callable[[str, int, bytes, float], Awaitable[bytes]]


class SyncHost(Protocol):
    """What the syncer needs of its node."""

    def sync_peers(self, height: int) -> list[str]:
        """Connected validators that may hold `height`, best first."""
        ...

    def blame(self, peer: str, points: int, why: str) -> None:
        """Score a peer's fault."""
        ...

    def validators_at(self, height: int) -> ValidatorSet:
        """The set that certifies `height`, which directly follows the stored chain."""
        ...

    async def synced(self, height: int, header_hash: bytes, certificate: Certificate | None) -> None:
        """The stores hold `height`, which may be less than was asked for; the certificate is None at genesis."""
        ...


class Transfer(Protocol):
    """Brings a snapshot of the state."""

    async def run(self, height: int, target: int, *, needed: bool = False) -> bool:
        """From `height` closer to `target` by a snapshot, if that is far (or `needed`: nobody gives the next block) and there is one.

        Answers whether the stores stand elsewhere now.
        """
        ...


def serve_blocks(blocks: BlockStore, wanted: FetchBlocks) -> Raws:
    """The answer to a request for blocks; runs in a thread."""
    items: list[bytes] = []
    size = 0
    if wanted.first < blocks.first:
        return Raws(())
    for height in range(max(wanted.first, 1), min(wanted.first + min(wanted.count, BLOCKS_A_REQUEST), blocks.height + 1)):
        stored = blocks.block(height)
        if stored.certificate is None:
            break
        item = encode(SyncBlock(stored.header.encoded, stored.batch, stored.transactions, stored.certificate))
        size += len(item)
        if items and size > min(wanted.max_bytes, BYTES_A_REQUEST):
            break
        items.append(item)
    return Raws(tuple(items))


class Syncer:
    """One sync at a time; a later wish raises the target. Every sync ends with one `synced`, also one that found nothing.

    A node far behind begins with another's state instead of executing everything again (`transfer`).
    """

    def __init__(
        self, chain_id: bytes, blocks: BlockStore, executor: ExecutorPort, pipeline: Pipeline, request: Request, host: SyncHost, on_fatal: Fatal
    ) -> None:
        self._chain_id = chain_id
        self._blocks = blocks
        self._executor = executor
        self._pipeline = pipeline
        self._request = request
        self._host = host
        self._on_fatal = on_fatal
        self._target = 0
        self._task: asyncio.Task[None] | None = None
        self.transfer: Transfer | None = None
        self.blocks_applied = 0

    @property
    def active(self) -> bool:
        """Whether this node is catching up now."""
        return self._task is not None and not self._task.done()

    @property
    def target(self) -> int:
        """The height that is wanted."""
        return self._target

    def want(self, height: int) -> None:
        """Get to `height` at least."""
        self._target = max(self._target, height)
        if not self.active:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="sync")

    async def stop(self) -> None:
        """End the sync."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        try:
            await self._pipeline.pause()
            await self._pipeline.discard()
            if self.transfer is not None:
                await self.transfer.run(self._blocks.height, self._target)
            fruitful = True
            while fruitful and self._blocks.height < self._target:
                fruitful = await self._round()
                if not fruitful and self.transfer is not None:
                    # Whoever is connected may itself have begun from a snapshot, and lack the block that comes next here.
                    fruitful = await self.transfer.run(self._blocks.height, self._target, needed=True)
            await self._finish()
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - our own state is at fault: stop loudly
            self._on_fatal(error)

    async def _round(self) -> bool:
        """Ask every connected peer once at most; whether one had something.

        After a round without fruit the sync ends with what it has: the claim of a far height must not stop us, and blocks that only we can make again
        aren't anywhere else. Consensus asks anew when it still lags.
        """
        deadline = asyncio.get_running_loop().time() + ROUND_S
        for peer in self._host.sync_peers(self._blocks.height + 1):
            if await self._from_peer(peer):
                return True
            if asyncio.get_running_loop().time() > deadline:
                break
        return False

    async def _finish(self) -> None:
        height = self._blocks.height
        self._target = 0
        self._pipeline.resume()
        # The next wish may come in while consensus takes this answer: it is another sync then.
        self._task = None
        await self._host.synced(height, self._blocks.tip_hash, self._blocks.certificate(height))

    async def _from_peer(self, peer: str) -> bool:
        """Apply what one answer of `peer` brings; False if it brought nothing of use."""
        wanted = FetchBlocks(self._blocks.height + 1, BLOCKS_A_REQUEST, BYTES_A_REQUEST)
        try:
            answer = await self._request(peer, RequestKind.BLOCKS, encode(wanted), REQUEST_TIMEOUT_S)
            items = decode_payload(answer, Raws).items
        except RemoteError:
            return False
        except PeerViolation as error:
            self._host.blame(peer, BAD_BLOCK_POINTS, str(error))
            return False
        for item in items:
            try:
                verified = self._verify(item)
            except (PeerViolation, InvalidBlock, InvalidTransaction) as error:
                self._host.blame(peer, BAD_BLOCK_POINTS, f"sync: {error}")
                return False
            await self._apply(verified)
        return bool(items)

    def _verify(self, item: bytes) -> _Verified:
        block = decode_payload(item, SyncBlock)
        header = decode(block.header, Header)
        height = self._blocks.height + 1
        certificate = block.certificate
        if header.chain_id != self._chain_id or header.height != height or header.parent != self._blocks.tip_hash:
            raise InvalidBlock(f"the block sent for height {height} doesn't follow our block {height - 1}", code="parent")
        if (certificate.epoch, certificate.height, certificate.header_hash) != (header.epoch, height, header.hash):
            raise InvalidBlock(f"the certificate sent for height {height} is for another header", code="certificate")
        validators = self._host.validators_at(height)
        if header.validators_hash != validators.hash:
            raise InvalidBlock(f"block {height} names another validator set than our state", code="validators")
        verify_certificate(certificate, validators, self._chain_id)
        batch = Batch.decode(block.batch)
        if batch.digest != header.batch_digest:
            raise InvalidBlock(f"the batch sent for height {height} isn't the one its header names", code="batch")
        transactions = [Transaction.decode(raw) for raw in block.transactions]
        if tree_head([leaf_hash(tx.wire_hash) for tx in transactions]) != header.transactions_root:
            raise InvalidBlock(f"the transactions sent for height {height} aren't those of its header", code="transactions")
        return _Verified(header, batch, transactions, block)

    async def _apply(self, verified: _Verified) -> None:
        header, block = verified.header, verified.block
        try:
            outcome = await self._executor.execute(header.height, verified.batch, block.transactions, header.skip_orders)
        except DeadlyTransaction as error:
            raise InvariantViolation(
                f"block {header.height} is certified, but executing it here kills the executor (of {error.run_id.hex()}): compare this machine, its Python and "
                "its release with those of the other validators",
                code=error.code,
            ) from None
        if outcome.header_hash != header.hash:
            raise InvariantViolation(
                f"block {header.height} is certified, but executing it here gives another header: compare with `carbonnode doctor --height {header.height}`"
            )
        await self._pipeline.apply(verified.batch, verified.transactions, outcome, block.certificate)
        self.blocks_applied += 1
