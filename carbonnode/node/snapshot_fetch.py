"""Fetching a snapshot from several peers at once: nothing is kept that the certificate doesn't vouch for (PBFT.md 44).

Order: who has what; the manifest, whose header must be certified and whose chunks must give its state root; the chunks, from every peer that has them; the
ids of the last blocks, from the snapshot's header down its chain of hashes. Whoever gives something that doesn't check is blamed and asked no more.
What was verified stays on disk, so an interrupted fetch goes on where it was.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from carbonnode.chain import values
from carbonnode.chain.codec import decode, encode
from carbonnode.chain.genesis import Genesis
from carbonnode.chain.hashing import blake2b_256
from carbonnode.chain.header import Header
from carbonnode.chain.merkle import leaf_hash, tree_head
from carbonnode.chain.transaction import Transaction
from carbonnode.errors import CarbonnodeError, InvalidBlock, PeerViolation, RemoteError, StorageError
from carbonnode.ledger import layout
from carbonnode.ledger.epochs import Epoch
from carbonnode.ledger.salts import SALT_BYTES
from carbonnode.ledger.snapshot import MAX_PROOF_BYTES, SnapshotProof, Verified, check_chunk, chunk_of, read_chunk, verify_snapshot
from carbonnode.node.snapshot_install import Installation
from carbonnode.node.snapshot_store import BlockIds, FetchedSnapshot
from carbonnode.node.wire import FetchBlocks, FetchChunk, Raws, RequestKind, SnapshotOffer, SnapshotOffers, SyncBlock, decode_payload
from carbonnode.storage.crashpoints import CrashPoints
from carbonnode.storage.space import SpaceGuard

OFFER_TIMEOUT_S: Final = 1.0
PROOF_TIMEOUT_S: Final = 20.0
CHUNK_TIMEOUT_S: Final = 5.0
AT_ONCE: Final = 2
"""Chunks asked of one peer at a time."""
MAX_FAILURES: Final = 3
"""Requests that a peer may leave unanswered before it is asked no more."""
IDS_A_REQUEST: Final = 64
IDS_BYTES: Final = 8 * 1024 * 1024
MAX_OFFERS: Final = 8
BAD_POINTS: Final = 100

Request = Callable[[str, int, bytes, float], Awaitable[bytes]]


class FetchHost(Protocol):
    """What fetching needs of its node."""

    def sync_peers(self, height: int) -> list[str]:
        """Connected validators that may hold `height`."""
        ...

    def blame(self, peer: str, points: int, why: str) -> None:
        """Score a peer's fault."""
        ...


class SnapshotFetcher:
    """Gets one complete snapshot on disk."""

    def __init__(
        self, genesis: Genesis, installation: Installation, request: Request, host: FetchHost, guard: SpaceGuard, crash: CrashPoints | None = None
    ) -> None:
        self._genesis = genesis
        self._guard = guard
        self._installation = installation
        self._request = request
        self._host = host
        self._crash = crash or CrashPoints()
        self._useless: set[str] = set()
        """Asked no more in this fetch: liars, who are blamed, and those who don't answer, who aren't."""
        self._failure: StorageError | OSError | None = None
        self.resumed = 0
        """Chunks of the last fetch that lay on disk already."""
        self.sources: Counter[str] = Counter()
        """Chunks of the last fetch that came in, by peer."""
        self.ids_s = 0.0
        """How long the ids of the last blocks took in it."""

    async def fetch(self, above: int) -> tuple[FetchedSnapshot, Verified] | None:
        """The newest snapshot of a height above `above` that can be had whole; None if there is none. Raises `StorageError` if the disk refuses."""
        self._useless.clear()
        offers = await self._offers(above)
        begun = {path.name for path in self._installation.incoming.iterdir()} if self._installation.incoming.is_dir() else set()

        def worth(offer: SnapshotOffer) -> tuple[bool, bool, int, int]:
            """One that was begun first, then one that several have: a single peer could hold us up."""
            name = f"{offer.height}-{offer.digest.hex()[:16]}"
            return name in begun, len(offers[offer]) > 1, offer.height, len(offers[offer])

        for offer in sorted(offers, key=worth, reverse=True):
            found = await self._get(offer, [peer for peer in offers[offer] if peer not in self._useless])
            if found is not None:
                return found
        return None

    def _blame(self, peer: str, why: str) -> None:
        if peer in self._useless:
            return
        self._useless.add(peer)
        self._host.blame(peer, BAD_POINTS, f"snapshot: {why}")

    async def _offers(self, above: int) -> dict[SnapshotOffer, list[str]]:
        peers = self._host.sync_peers(0)
        answers = await asyncio.gather(*[self._offers_of(peer) for peer in peers])
        found: dict[SnapshotOffer, list[str]] = {}
        for peer, offers in zip(peers, answers, strict=True):
            for offer in offers[-MAX_OFFERS:]:
                if offer.height > above:
                    found.setdefault(offer, []).append(peer)
        return found

    async def _offers_of(self, peer: str) -> tuple[SnapshotOffer, ...]:
        try:
            return decode_payload(await self._request(peer, RequestKind.SNAPSHOTS, b"", OFFER_TIMEOUT_S), SnapshotOffers).offers
        except RemoteError:
            return ()
        except PeerViolation as error:
            self._blame(peer, str(error))
            return ()

    async def _get(self, offer: SnapshotOffer, peers: list[str]) -> tuple[FetchedSnapshot, Verified] | None:
        proof = await self._proof(offer, peers)
        if proof is None:
            return None
        raw, snapshot = proof
        loop = asyncio.get_running_loop()
        fetched = await loop.run_in_executor(None, FetchedSnapshot.begin, self._installation.incoming, offer.height, offer.digest, raw)
        missing = deque(await loop.run_in_executor(None, fetched.missing, snapshot))
        self.resumed = len(snapshot.manifest.chunks) - len(missing)
        self.sources.clear()
        usable = {peer: 0 for peer in peers if peer not in self._useless}
        self._failure = None
        while missing and usable:
            await asyncio.gather(*[self._chunks(peer, offer, snapshot, fetched, missing, usable) for peer in list(usable) for _ in range(AT_ONCE)])
        if self._failure is not None:
            raise self._failure
        if missing:
            return None
        started = loop.time()
        complete = await self._ids(snapshot, fetched)
        self.ids_s = loop.time() - started
        return (fetched, snapshot) if complete else None

    async def _proof(self, offer: SnapshotOffer, peers: list[str]) -> tuple[bytes, Verified] | None:
        wanted = encode(FetchChunk(offer.height, offer.digest, 0))
        for peer in peers:
            try:
                raw = await self._request(peer, RequestKind.SNAPSHOT_PROOF, wanted, PROOF_TIMEOUT_S)
            except RemoteError:
                self._useless.add(peer)
                continue
            if not raw:
                continue
            try:
                return raw, await asyncio.get_running_loop().run_in_executor(None, self._check_proof, offer, raw)
            except CarbonnodeError as error:
                self._blame(peer, str(error))
        return None

    def _check_proof(self, offer: SnapshotOffer, raw: bytes) -> Verified:
        proof = decode(raw, SnapshotProof, max_bytes=MAX_PROOF_BYTES)
        if blake2b_256(proof.manifest) != offer.digest:
            raise InvalidBlock(f"the manifest of height {offer.height} isn't the one that was offered", code="manifest")
        snapshot = verify_snapshot(proof, self._genesis)
        if snapshot.header.height != offer.height:
            raise InvalidBlock(f"the manifest offered for height {offer.height} is of height {snapshot.header.height}", code="manifest")
        return snapshot

    async def _chunks(
        self, peer: str, offer: SnapshotOffer, snapshot: Verified, fetched: FetchedSnapshot, missing: deque[int], usable: dict[str, int]
    ) -> None:
        """Ask one peer for chunk after chunk, until none is missing or it is of no use."""
        loop = asyncio.get_running_loop()
        while missing and peer in usable:
            index = missing.popleft()
            try:
                data = await self._request(peer, RequestKind.SNAPSHOT_CHUNK, encode(FetchChunk(offer.height, offer.digest, index)), CHUNK_TIMEOUT_S)
                if not data:
                    raise RemoteError(f"{peer} has that snapshot no more", code="not-found")
                await loop.run_in_executor(None, self._keep, snapshot, fetched, index, data)
            except RemoteError as error:
                missing.append(index)
                failures = usable.get(peer, MAX_FAILURES) + 1
                if error.code != "timeout" or failures >= MAX_FAILURES:
                    usable.pop(peer, None)
                    self._useless.add(peer)
                    return
                usable[peer] = failures
            except InvalidBlock as error:
                missing.append(index)
                usable.pop(peer, None)
                self._blame(peer, str(error))
                return
            except (StorageError, OSError) as error:
                self._failure = error
                usable.clear()
                return
            else:
                self.sources[peer] += 1
                self._crash.reach("fetch.chunk")

    def _keep(self, snapshot: Verified, fetched: FetchedSnapshot, index: int, data: bytes) -> None:
        ref = snapshot.manifest.chunks[index]
        check_chunk(ref, data)
        self._guard.check(len(data))
        fetched.keep(ref.name, data)

    # -- ids of the last blocks -----------------------------------------------------------------------------------------------------------

    async def _ids(self, snapshot: Verified, fetched: FetchedSnapshot) -> bool:
        """The ids within the validity window, verified against the transactions roots of headers that the snapshot's own leads to."""
        lowest = max(1, snapshot.header.height - _validity(snapshot, fetched))
        top, expected = snapshot.header.height, snapshot.certificate.header_hash
        for part in fetched.ids():
            if part.first + len(part.ids) - 1 == top:
                top, expected = part.first - 1, part.parent
        peers = deque(peer for peer in self._host.sync_peers(0) if peer not in self._useless)
        span, refusals = IDS_A_REQUEST, 0
        while top >= lowest and peers and refusals <= len(peers):
            peer = peers[0]
            first = max(lowest, top - span + 1)
            found, short = await self._ids_of(peer, first, top, expected)
            if found is not None:
                await asyncio.get_running_loop().run_in_executor(None, fetched.keep_ids, found)
                top, expected, refusals = found.first - 1, found.parent, 0
            elif short:
                span = short
                continue
            else:
                refusals += 1
            peers.rotate(-1)
            if peer in self._useless:
                peers.remove(peer)
        return top < lowest

    async def _ids_of(self, peer: str, first: int, top: int, expected: bytes) -> tuple[BlockIds | None, int]:
        """The ids of first..top; or None, and how many blocks this peer gave where its answers hold fewer than were asked for."""
        wanted = FetchBlocks(first, top - first + 1, IDS_BYTES)
        try:
            items = decode_payload(await self._request(peer, RequestKind.BLOCKS, encode(wanted), CHUNK_TIMEOUT_S), Raws).items
            if len(items) < wanted.count:
                return None, len(items)
            return await asyncio.get_running_loop().run_in_executor(None, _block_ids, first, items, expected), 0
        except RemoteError:
            return None, 0
        except CarbonnodeError as error:
            self._blame(peer, str(error))
            return None, 0


def _validity(snapshot: Verified, fetched: FetchedSnapshot) -> int:
    """The validity window W that holds in the snapshot's state."""
    index = chunk_of(snapshot.manifest, layout.EPOCH)
    if index is not None:
        ref = snapshot.manifest.chunks[index]
        for leaf in read_chunk(ref, fetched.read(ref.name)):
            if leaf.key == layout.EPOCH:
                value = values.decode_value(leaf.record[SALT_BYTES:])
                if isinstance(value, bytes):
                    return decode(value, Epoch).parameters.validity_blocks
    raise InvalidBlock(f"the certified state of height {snapshot.header.height} holds no epoch", code="epoch")


def _block_ids(first: int, items: tuple[bytes, ...], expected: bytes) -> BlockIds:
    """Check blocks from the highest, whose header hash is `expected`, down. Raises `CarbonnodeError`."""
    found: list[tuple[bytes, ...]] = []
    for offset in range(len(items) - 1, -1, -1):
        block = decode_payload(items[offset], SyncBlock)
        header = decode(block.header, Header)
        if header.height != first + offset or header.hash != expected:
            raise InvalidBlock(f"the block sent for height {first + offset} isn't in the chain of the snapshot", code="parent")
        transactions = [Transaction.decode(raw) for raw in block.transactions]
        if tree_head([leaf_hash(tx.wire_hash) for tx in transactions]) != header.transactions_root:
            raise InvalidBlock(f"the transactions sent for block {header.height} aren't those of its header", code="transactions")
        found.append(tuple(tx.id for tx in transactions))
        expected = header.parent
    return BlockIds(first, expected, tuple(reversed(found)))
