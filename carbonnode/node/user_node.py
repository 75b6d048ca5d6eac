"""A user node: a verified chain of headers, its organisation's own transactions and events with proofs; it doesn't vote and holds no state.

Blocks are pushed by every validator it is linked to; the first that verifies is stored. Gaps are fetched. Submissions and views are forwarded. Cut
off, it serves what it verified.
"""

import asyncio
from collections.abc import Callable

from carbonnode.chain.codec import decode, encode
from carbonnode.chain.genesis import Genesis
from carbonnode.chain.header import Header
from carbonnode.chain.proof import parse_proof, verify_proof
from carbonnode.chain.service import EXPIRED, FINAL
from carbonnode.chain.transaction import Transaction
from carbonnode.chain.validators import ValidatorSet
from carbonnode.errors import CarbonnodeError, InvalidBlock, PeerViolation, RemoteError
from carbonnode.network import PeerIdentity
from carbonnode.node.feed import BlockEvents, Feed
from carbonnode.node.logs import Logger
from carbonnode.node.metrics import NodeMetrics
from carbonnode.node.peering import Peering
from carbonnode.node.ports import Fatal, Sender
from carbonnode.node.user_store import UserStore
from carbonnode.node.user_verify import VerifiedBlock, verify_user_block
from carbonnode.node.wire import BulkKind, FetchBlocks, Raws, RequestKind, StatusAnswers, UserBlock, decode_payload

BLOCKS_A_REQUEST = 200
BYTES_A_REQUEST = 8 * 1024 * 1024
REQUEST_TIMEOUT_S = 10.0
QUIET_S = 3.0
"""Without a block for this long a user node asks for one: a push may have been lost."""
SETTLE_S = 1.0
SETTLE_MOST = 500
BAD_BLOCK_POINTS = 100
SYNC_EVERY_BLOCKS = 64


class UserNode:
    """`connect` it to a network, `start`, at the end `stop`."""

    sender: Sender

    def __init__(self, genesis: Genesis, store: UserStore, log: Logger, metrics: NodeMetrics, on_fatal: Fatal) -> None:
        self.genesis = genesis
        self.store = store
        self.log = log
        self.metrics = metrics
        self.on_fatal = on_fatal
        self.feed = Feed()
        self.peering = Peering(self, self.blame, log)
        self.linked: list[str] = []
        """Validators with a live link."""
        self._fetching: asyncio.Task[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.refused_blocks = 0
        self.on_validators: Callable[[ValidatorSet], None] | None = None
        """Called when a verified block announces another validator set."""

    def connect(self, sender: Sender) -> None:
        """Wire the node to a network."""
        self.sender = sender
        self.peering.bulk[BulkKind.USER_BLOCK] = self._pushed

    def start(self) -> None:
        """Begin to follow the chain."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._guard(self._watch), name="watch"), loop.create_task(self._guard(self._settle_loop), name="settle")]

    async def stop(self) -> None:
        """End all work."""
        self.feed.close()
        tasks = [*self._tasks, *([self._fetching] if self._fetching is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def syncing(self) -> bool:
        """Whether blocks are being fetched."""
        return self._fetching is not None and not self._fetching.done()

    async def _guard(self, work: "Callable[[], object]") -> None:
        try:
            await work()  # type: ignore[misc]  # a coroutine function
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever it is, the node stops with it
            self.on_fatal(error)

    # -- links --------------------------------------------------------------------------------------------------------------------------

    def blame(self, peer: str, points: int, why: str) -> None:
        """Score a peer's fault."""
        self.log.warning("peer at fault", peer=peer, points=points, why=why)
        self.sender.report(peer, points, why)

    def consensus_frames(self, peer: PeerIdentity, frames: list[bytes]) -> None:
        """`peering.LinkEvents`: a user node takes no part in consensus."""

    def peer_up(self, peer: PeerIdentity) -> None:
        """`peering.LinkEvents`"""
        if peer.role != "user" and peer.name not in self.linked:
            self.linked.append(peer.name)
            self.fetch()

    def peer_down(self, peer: PeerIdentity, reason: str) -> None:  # noqa: ARG002 - as the protocol says
        """`peering.LinkEvents`"""
        if peer.name in self.linked:
            self.linked.remove(peer.name)

    def redial_failed(self, name: str, outcome: str) -> None:
        """`peering.LinkEvents`: the network dials on."""

    async def ask(self, kind: int, payload: bytes, timeout_s: float = REQUEST_TIMEOUT_S) -> bytes:
        """Ask validators in turn until one answers. Raises the last `CarbonnodeError`, or `RemoteError` `not-connected`."""
        error: CarbonnodeError = RemoteError("no validator is connected: this node is cut off and serves what it has verified", code="not-connected")
        for name in list(self.linked):
            try:
                return await self.sender.request(name, kind, payload, timeout_s)
            except RemoteError as failure:
                error = failure
                if failure.code in ("not-connected", "timeout", "closed", "busy"):
                    # Ask somebody else first next time.
                    if name in self.linked:
                        self.linked.remove(name)
                        self.linked.append(name)
                    continue
                raise
        raise error

    # -- blocks -------------------------------------------------------------------------------------------------------------------------

    def _pushed(self, peer: PeerIdentity, body: bytes) -> None:
        block = decode_payload(body, UserBlock)
        height = decode(block.header, Header).height
        if height <= self.store.height or self.syncing:
            return
        if height != self.store.height + 1:
            self.fetch()
            return
        try:
            self._accept(block)
        except InvalidBlock as error:
            self.refused_blocks += 1
            raise PeerViolation(f"a pushed block is refused: {error}", code="bad-block") from None
        _ = peer

    def _accept(self, block: UserBlock) -> None:
        """Verify and store the next block. Raises `InvalidBlock`."""
        verified = verify_user_block(block, self.store.trail)
        self.store.put(verified, sync=verified.header.height % SYNC_EVERY_BLOCKS == 0)
        if verified.header.next_validators_hash != verified.header.validators_hash and self.on_validators is not None:
            self.on_validators(verified.trail.validators)
        self.metrics.height.set(verified.header.height)
        self.metrics.blocks.inc()
        self.metrics.events.inc(len(verified.events))
        self.feed.publish(block_events(verified))
        self.log.debug("block", height=verified.header.height, hash=verified.header_hash, own_transactions=len(verified.transactions))

    def fetch(self) -> None:
        """Fetch what is missing, if that isn't going on."""
        if not self.syncing:
            self._fetching = asyncio.get_running_loop().create_task(self._guard(self._fetch), name="fetch")

    async def _fetch(self) -> None:
        while self.linked:
            peer = self.linked[0]
            wanted = FetchBlocks(self.store.height + 1, BLOCKS_A_REQUEST, BYTES_A_REQUEST)
            try:
                items = decode_payload(await self.sender.request(peer, RequestKind.USER_BLOCKS, encode(wanted), REQUEST_TIMEOUT_S), Raws).items
                for item in items:
                    block = decode_payload(item, UserBlock)
                    if decode(block.header, Header).height == self.store.height + 1:
                        self._accept(block)
            except RemoteError:
                items = ()
            except (PeerViolation, InvalidBlock) as error:
                self.refused_blocks += 1
                self.blame(peer, BAD_BLOCK_POINTS, f"user block: {error}")
                items = ()
            if not items:
                if peer in self.linked:
                    self.linked.remove(peer)
                    self.linked.append(peer)
                return

    async def _watch(self) -> None:
        while not self.feed.closed:
            if not await self.feed.next_block(QUIET_S):
                self.fetch()
                await asyncio.sleep(QUIET_S / 10)

    # -- submissions of others' keys ----------------------------------------------------------------------------------------------------

    async def _settle_loop(self) -> None:
        """Follow submissions whose signer isn't of this organisation: the block doesn't show them here, their proof does."""
        while not self.feed.closed:
            await asyncio.sleep(SETTLE_S)
            waiting = [pair for _, pair in zip(range(SETTLE_MOST), self.store.pending(), strict=False)]
            if waiting and self.linked:
                try:
                    await self._settle(dict(waiting))
                except (RemoteError, PeerViolation) as error:
                    self.log.info("settling failed", error=str(error))

    async def _settle(self, waiting: dict[bytes, bytes]) -> None:
        answer = decode_payload(await self.ask(RequestKind.TRANSACTION_STATUS, encode(Raws(tuple(waiting)))), StatusAnswers)
        final: list[bytes] = []
        for item in answer.answers:
            if item.tx_id not in waiting:
                continue
            if item.status == FINAL and item.height <= self.store.height and self.store.place(item.tx_id) is None:
                final.append(item.tx_id)
            elif item.status == EXPIRED or self._outlived(waiting[item.tx_id]):
                self.store.settle(item.tx_id, None)
        if final:
            wanted = Raws(tuple([tx_id + Transaction.decode(waiting[tx_id]).wire_hash for tx_id in final]))
            proofs = decode_payload(await self.ask(RequestKind.PROOFS, encode(wanted)), Raws).items
            for tx_id, proof in zip(final, proofs, strict=False):
                if proof:
                    self._take_proof(tx_id, proof)

    def _outlived(self, raw: bytes) -> bool:
        return Transaction.decode(raw).body.valid_until < self.store.height

    def _take_proof(self, tx_id: bytes, proof: bytes) -> None:
        try:
            verified = verify_proof(parse_proof(proof), self.genesis)
        except CarbonnodeError as error:
            raise PeerViolation(f"a proof is refused: {error}", code="bad-proof") from None
        if verified.transaction.id == tx_id:
            self.store.settle(tx_id, proof)


def block_events(verified: VerifiedBlock) -> BlockEvents:
    """A verified block's events for readers."""
    return BlockEvents(verified.header.height, verified.header.time_ms, verified.events)
