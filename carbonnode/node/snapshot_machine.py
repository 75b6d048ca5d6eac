"""What fetching a snapshot means, as a state machine without links, clock or disk of its own: the node drives it, and so does the simulator (PBFT.md 44).

Order: who has what; the manifest, whose header must be certified and whose chunks must give its state root; the chunks, from every peer that has them; the
ids of the last blocks, from the snapshot's header down its chain of hashes. Whoever gives something that doesn't check is blamed and asked no more.
What was verified is kept in the `Store`, so an interrupted fetch goes on where it was.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple, Protocol, TypeAlias

from carbonnode.chain import values
from carbonnode.chain.codec import Wire, decode, encode
from carbonnode.chain.genesis import Genesis
from carbonnode.chain.hashing import blake2b_256
from carbonnode.chain.header import Header
from carbonnode.chain.merkle import leaf_hash, tree_head
from carbonnode.chain.signing import Verifier, verify
from carbonnode.chain.transaction import Transaction
from carbonnode.errors import CarbonnodeError, InvalidBlock, PeerViolation
from carbonnode.ledger import layout
from carbonnode.ledger.epochs import Epoch
from carbonnode.ledger.salts import SALT_BYTES
from carbonnode.ledger.snapshot import MAX_PROOF_BYTES, SnapshotProof, Verified, check_chunk, chunk_of, read_chunk, verify_snapshot
from carbonnode.node.wire import FetchBlocks, FetchChunk, Raws, RequestKind, SnapshotOffer, SnapshotOffers, SyncBlock, decode_payload

OFFER_TIMEOUT_MS: Final = 1_000
PROOF_TIMEOUT_MS: Final = 20_000
CHUNK_TIMEOUT_MS: Final = 5_000
AT_ONCE: Final = 2
"""Chunks asked of one peer at a time."""
MAX_FAILURES: Final = 3
"""Requests that a peer may leave unanswered before it is asked no more."""
IDS_A_REQUEST: Final = 64
IDS_BYTES: Final = 8 * 1024 * 1024
MAX_OFFERS: Final = 8


class BlockIds(Wire, frozen=True):
    """The transaction ids of consecutive blocks from `first` on; `parent` is the hash of the header before them."""

    first: int
    parent: bytes
    ids: tuple[tuple[bytes, ...], ...]


class Ask(NamedTuple):
    """Ask a peer, and give its answer to `answered`, or the lack of one to `failed`, with this number."""

    number: int
    peer: str
    kind: RequestKind
    payload: bytes
    timeout_ms: int


class Blame(NamedTuple):
    """A peer lied."""

    peer: str
    why: str


Action: TypeAlias = Ask | Blame


class Store(Protocol):
    """Where verified parts lie. All of it may raise `StorageError`, which ends the fetch."""

    def begun(self) -> Iterable[str]:
        """Names (`name_of`) of snapshots that were begun."""
        ...

    def begin(self, offer: SnapshotOffer, proof: bytes) -> None:
        """Begin this snapshot, or go on with it; parts of others may go."""
        ...

    def missing(self, snapshot: Verified) -> list[int]:
        """Indices of the chunks that aren't there, or don't check any more (`unkept`)."""
        ...

    def read(self, name: str) -> bytes:
        """A chunk that was kept."""
        ...

    def keep(self, name: str, data: bytes) -> None:
        """Keep a verified chunk; it need not survive a crash."""
        ...

    def keep_ids(self, ids: BlockIds) -> None:
        """Keep verified ids of blocks, durably: nothing checks them again."""
        ...

    def ids(self) -> list[BlockIds]:
        """The ids that were kept, from the highest blocks down."""
        ...


def name_of(offer: SnapshotOffer) -> str:
    """Of a snapshot in a store."""
    return f"{offer.height}-{offer.digest.hex()[:16]}"


def unkept(snapshot: Verified, find: Callable[[str], bytes | None], drop: Callable[[str], None]) -> list[int]:
    """Indices of the chunks that `find` doesn't give or that don't check: torn by a crash, for all we know. Those are dropped."""
    found: list[int] = []
    for index, ref in enumerate(snapshot.manifest.chunks):
        data = find(ref.name)
        if data is None:
            found.append(index)
            continue
        try:
            check_chunk(ref, data)
        except InvalidBlock:
            drop(ref.name)
            found.append(index)
    return found


class _Chunks:
    """The chunks of one snapshot, under way."""

    def __init__(self, missing: list[int], peers: Iterable[str]) -> None:
        self.missing = deque(missing)
        self.flying: Counter[str] = Counter()
        self.usable = dict.fromkeys(peers, 0)
        """Peers with how often each left a question unanswered."""


class _Ids:
    """The ids of the blocks up to `top`, whose header hash is `expected`, down to `lowest`."""

    def __init__(self, top: int, expected: bytes, lowest: int, peers: Iterable[str]) -> None:
        self.top = top
        self.expected = expected
        self.lowest = lowest
        self.peers = deque(peers)
        self.span = IDS_A_REQUEST
        self.refusals = 0


class _Asked(NamedTuple):
    peer: str
    kind: RequestKind
    first: int = 0
    """Index of the chunk, or first block."""
    blocks: int = 0


class SnapshotMachine:
    """Gets one complete snapshot into the store: begin it, then tell it of each answer until `finished`; `found` is None if there was none to be had."""

    def __init__(self, genesis: Genesis, store: Store, verifier: Verifier = verify) -> None:
        self._genesis = genesis
        self._store = store
        self._verifier = verifier
        self.peers: list[str] = []
        """Connected validators; the driver keeps it up to date."""
        self.finished = False
        self.found: Verified | None = None
        self.resumed = 0
        """Chunks that were in the store already."""
        self.sources: Counter[str] = Counter()
        """Chunks that came in, by peer."""
        self._above = 0
        self._useless: set[str] = set()
        """Asked no more: liars, who are blamed, and those who don't answer, who aren't."""
        self._number = 0
        self._asked: dict[int, _Asked] = {}
        self._out: list[Action] = []
        self._offers: dict[SnapshotOffer, list[str]] = {}
        self._candidates: deque[SnapshotOffer] = deque()
        self._offer = SnapshotOffer(0, b"")
        self._proof_peers: deque[str] = deque()
        self._snapshot: Verified | None = None
        self._chunks = _Chunks([], ())
        self._ids = _Ids(0, b"", 0, ())

    # -- what happens ---------------------------------------------------------------------------------------------------------------------

    def begin(self, above: int) -> list[Action]:
        """Look for the newest snapshot of a height above `above` that can be had whole."""
        self._above = above
        for peer in self.peers:
            self._ask(peer, RequestKind.SNAPSHOTS, b"", OFFER_TIMEOUT_MS)
        if not self.peers:
            self._finish(None)
        return self._take()

    def answered(self, number: int, data: bytes) -> list[Action]:
        """A peer's answer. Raises `StorageError` if the store does, `InvalidBlock` if the certified state is none of ours."""
        asked = self._asked.pop(number, None)
        if asked is not None and not self.finished:
            self._on_answer[asked.kind](self, asked, data)
        return self._take()

    def failed(self, number: int, *, timed_out: bool) -> list[Action]:
        """A peer gave no answer: in time, or at all."""
        asked = self._asked.pop(number, None)
        if asked is not None and not self.finished:
            self._on_failure[asked.kind](self, asked, timed_out)
        return self._take()

    def _take(self) -> list[Action]:
        out, self._out = self._out, []
        return out

    def _ask(self, peer: str, kind: RequestKind, payload: bytes, timeout_ms: int, first: int = 0, count: int = 0) -> None:
        self._number += 1
        self._asked[self._number] = _Asked(peer, kind, first, count)
        self._out.append(Ask(self._number, peer, kind, payload, timeout_ms))

    def _blame(self, peer: str, why: object) -> None:
        if peer not in self._useless:
            self._useless.add(peer)
            self._out.append(Blame(peer, f"snapshot: {why}"))

    def _finish(self, found: Verified | None) -> None:
        self.finished, self.found = True, found
        self._asked.clear()

    # -- offers ---------------------------------------------------------------------------------------------------------------------------

    def _offers_in(self, asked: _Asked, data: bytes) -> None:
        try:
            offers = decode_payload(data, SnapshotOffers).offers
        except PeerViolation as error:
            self._blame(asked.peer, error)
            offers = ()
        for offer in dict.fromkeys(offers[-MAX_OFFERS:]):
            if offer.height > self._above:
                self._offers.setdefault(offer, []).append(asked.peer)
        self._judge_offers()

    def _no_offers(self, _asked: _Asked, _timed_out: bool) -> None:
        self._judge_offers()

    def _judge_offers(self) -> None:
        if self._asked:
            return
        begun = set(self._store.begun())
        offers = self._offers

        def worth(offer: SnapshotOffer) -> tuple[bool, bool, int, int]:
            """One that was begun first, then one that several have: a single peer could hold us up."""
            return name_of(offer) in begun, len(offers[offer]) > 1, offer.height, len(offers[offer])

        self._candidates = deque(sorted(offers, key=worth, reverse=True))
        self._next_candidate()

    def _next_candidate(self) -> None:
        if not self._candidates:
            self._finish(None)
            return
        self._offer = self._candidates.popleft()
        self._proof_peers = deque(self._givers())
        self._ask_proof()

    def _givers(self) -> list[str]:
        return [peer for peer in self._offers[self._offer] if peer not in self._useless]

    # -- the manifest ---------------------------------------------------------------------------------------------------------------------

    def _ask_proof(self) -> None:
        if not self._proof_peers:
            self._next_candidate()
            return
        self._ask(self._proof_peers.popleft(), RequestKind.SNAPSHOT_PROOF, encode(FetchChunk(self._offer.height, self._offer.digest, 0)), PROOF_TIMEOUT_MS)

    def _no_proof(self, asked: _Asked, _timed_out: bool) -> None:
        self._useless.add(asked.peer)
        self._ask_proof()

    def _proof_in(self, asked: _Asked, data: bytes) -> None:
        if not data:
            self._ask_proof()
            return
        try:
            snapshot = self._check_proof(data)
        except CarbonnodeError as error:
            self._blame(asked.peer, error)
            self._ask_proof()
            return
        self._store.begin(self._offer, data)
        missing = self._store.missing(snapshot)
        self._snapshot = snapshot
        self.resumed = len(snapshot.manifest.chunks) - len(missing)
        self.sources.clear()
        self._chunks = _Chunks(missing, self._givers())
        self._ask_chunks()

    def _check_proof(self, raw: bytes) -> Verified:
        proof = decode(raw, SnapshotProof, max_bytes=MAX_PROOF_BYTES)
        if blake2b_256(proof.manifest) != self._offer.digest:
            raise InvalidBlock(f"the manifest of height {self._offer.height} isn't the one that was offered", code="manifest")
        snapshot = verify_snapshot(proof, self._genesis, self._verifier)
        if snapshot.header.height != self._offer.height:
            raise InvalidBlock(f"the manifest offered for height {self._offer.height} is of height {snapshot.header.height}", code="manifest")
        return snapshot

    # -- chunks ---------------------------------------------------------------------------------------------------------------------------

    def _ask_chunks(self) -> None:
        chunks = self._chunks
        for _ in range(AT_ONCE):
            for peer in chunks.usable:
                if chunks.missing and chunks.flying[peer] < AT_ONCE:
                    index = chunks.missing.popleft()
                    chunks.flying[peer] += 1
                    payload = encode(FetchChunk(self._offer.height, self._offer.digest, index))
                    self._ask(peer, RequestKind.SNAPSHOT_CHUNK, payload, CHUNK_TIMEOUT_MS, index)
        if chunks.flying.total():
            return
        if chunks.missing:
            self._next_candidate()
        else:
            self._begin_ids()

    def _chunk_in(self, asked: _Asked, data: bytes) -> None:
        if not data:
            self._no_chunk(asked, False)  # it has that snapshot no more
            return
        assert self._snapshot is not None
        chunks = self._chunks
        chunks.flying[asked.peer] -= 1
        ref = self._snapshot.manifest.chunks[asked.first]
        try:
            check_chunk(ref, data)
        except InvalidBlock as error:
            chunks.missing.append(asked.first)
            chunks.usable.pop(asked.peer, None)
            self._blame(asked.peer, error)
        else:
            self._store.keep(ref.name, data)
            self.sources[asked.peer] += 1
        self._ask_chunks()

    def _no_chunk(self, asked: _Asked, timed_out: bool) -> None:
        chunks = self._chunks
        chunks.flying[asked.peer] -= 1
        chunks.missing.append(asked.first)
        failures = chunks.usable.get(asked.peer, MAX_FAILURES) + 1
        if not timed_out or failures >= MAX_FAILURES:
            chunks.usable.pop(asked.peer, None)
            self._useless.add(asked.peer)
        else:
            chunks.usable[asked.peer] = failures
        self._ask_chunks()

    # -- ids of the last blocks -----------------------------------------------------------------------------------------------------------

    def _begin_ids(self) -> None:
        """The ids within the validity window, verified against the transactions roots of headers that the snapshot's own leads to."""
        snapshot = self._snapshot
        assert snapshot is not None
        top, expected = snapshot.header.height, snapshot.certificate.header_hash
        for part in self._store.ids():
            if part.first + len(part.ids) - 1 == top:
                top, expected = part.first - 1, part.parent
        lowest = max(1, snapshot.header.height - _validity(snapshot, self._store.read))
        self._ids = _Ids(top, expected, lowest, [peer for peer in self.peers if peer not in self._useless])
        self._ask_ids()

    def _ask_ids(self) -> None:
        ids = self._ids
        if ids.top < ids.lowest:
            self._finish(self._snapshot)
        elif not ids.peers or ids.refusals > len(ids.peers):
            self._next_candidate()
        else:
            first = max(ids.lowest, ids.top - ids.span + 1)
            wanted = FetchBlocks(first, ids.top - first + 1, IDS_BYTES)
            self._ask(ids.peers[0], RequestKind.BLOCKS, encode(wanted), CHUNK_TIMEOUT_MS, wanted.first, wanted.count)

    def _ids_in(self, asked: _Asked, data: bytes) -> None:
        ids = self._ids
        try:
            items = decode_payload(data, Raws).items
            if 0 < len(items) < asked.blocks:
                ids.span = len(items)  # its answers hold no more
                self._ask_ids()
                return
            found = _block_ids(asked.first, items, ids.expected) if len(items) >= asked.blocks else None
        except CarbonnodeError as error:
            self._blame(asked.peer, error)
            found = None
        if found is None:
            ids.refusals += 1
        else:
            self._store.keep_ids(found)
            ids.top, ids.expected, ids.refusals = found.first - 1, found.parent, 0
        self._next_giver(asked.peer)

    def _no_ids(self, asked: _Asked, _timed_out: bool) -> None:
        self._ids.refusals += 1
        self._next_giver(asked.peer)

    def _next_giver(self, peer: str) -> None:
        self._ids.peers.rotate(-1)
        if peer in self._useless:
            self._ids.peers.remove(peer)
        self._ask_ids()

    _on_answer: Final = {
        RequestKind.SNAPSHOTS: _offers_in,
        RequestKind.SNAPSHOT_PROOF: _proof_in,
        RequestKind.SNAPSHOT_CHUNK: _chunk_in,
        RequestKind.BLOCKS: _ids_in,
    }
    _on_failure: Final = {
        RequestKind.SNAPSHOTS: _no_offers,
        RequestKind.SNAPSHOT_PROOF: _no_proof,
        RequestKind.SNAPSHOT_CHUNK: _no_chunk,
        RequestKind.BLOCKS: _no_ids,
    }


def _validity(snapshot: Verified, read: Callable[[str], bytes]) -> int:
    """The validity window W that holds in the snapshot's state."""
    index = chunk_of(snapshot.manifest, layout.EPOCH)
    if index is not None:
        ref = snapshot.manifest.chunks[index]
        for leaf in read_chunk(ref, read(ref.name)):
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
