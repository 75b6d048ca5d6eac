"""The block store: certified blocks, their certificates and the transaction index, one atomic write a block.

A block is stored only with its certificate. The header carries its parent's hash, so the store is a hash chain, checked at start (its last
blocks) and in full by `carbonnode verify-store`. A store may begin at the height of a snapshot, its base: of that block it has header and
certificate only, of those below nothing but where their last transactions stood.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

import msgspec

from carbonnode.chain.certificate import Certificate
from carbonnode.chain.codec import Wire, decode, encode
from carbonnode.chain.hashing import blake2b_256
from carbonnode.chain.header import Header
from carbonnode.chain.ports import KV
from carbonnode.errors import InvalidBlock, InvariantViolation, StorageError
from carbonnode.storage.crashpoints import CrashPoints

T = TypeVar("T", bound=Wire)

MAX_RECORD_BYTES = 256 * 1024 * 1024
START_CHECK_BLOCKS = 256
_HEIGHT = b"m/height"
_BASE = b"m/base"
_SWEEP = 256
_REPAIR = "run `carbonnode verify-store`, or restore a backup with `carbonnode restore`"


class StoredBlock(Wire, frozen=True):
    """A certified block as it lies on disk.

    `batch` are the batch's canonical bytes, `transactions` the raw kept transactions in order, `outcome` the encoded
    `ledger.results.ExecutedBlock` (opaque here). Height 0 has no certificate: genesis itself is trusted.
    """

    header: Header
    header_hash: bytes
    batch: bytes
    transactions: tuple[bytes, ...]
    outcome: bytes
    certificate: Certificate | None


class TransactionPlace(Wire, frozen=True):
    """Where a transaction stands: height and index among the block's kept transactions."""

    height: int
    index: int


class _Stem(Wire, frozen=True):
    header: Header
    header_hash: bytes
    certificate: Certificate | None
    content_hash: bytes


class _Content(Wire, frozen=True):
    batch: bytes
    transactions: tuple[bytes, ...]
    outcome: bytes


def _key(kind: bytes, height: int) -> bytes:
    return kind + height.to_bytes(8, "big")


class BlockStore:
    """Blocks 0..height over a KV that this process owns."""

    def __init__(self, kv: KV, crash: CrashPoints | None = None) -> None:
        """Raises `StorageError` if the stored height is unreadable."""
        self._kv = kv
        self._crash = crash or CrashPoints()
        raw = kv.get(_HEIGHT)
        if raw is not None and len(raw) != 8:
            raise StorageError(f"the block store's height record is damaged: {_REPAIR}", code="corrupt")
        self.base = int.from_bytes(kv.get(_BASE) or b"", "big")
        """The height of the snapshot that this store began from, 0 where it began at genesis."""
        self.tip = (-1, b"")
        """The last stored height (-1 when empty) and its header's hash, at one: a thread may be storing the next block while another reads."""
        if raw is not None:
            self.tip = (int.from_bytes(raw, "big"), b"")
            self.tip = (self.height, self._stem(self.height).header_hash)

    @property
    def height(self) -> int:
        """The last stored height, -1 when empty."""
        return self.tip[0]

    @property
    def tip_hash(self) -> bytes:
        """The last stored header's hash."""
        return self.tip[1]

    @property
    def first(self) -> int:
        """The lowest height whose block is here in full."""
        return self.base + 1 if self.base else 0

    def install(self, header: Header, certificate: Certificate, ids: Iterable[tuple[int, Sequence[bytes]]]) -> None:
        """Begin anew at the snapshot of `header`; `ids` are those of the last blocks up to it, by height. Older blocks go.

        Doing it again after a crash does what is left. Raises `InvariantViolation` if the store is past that height.
        """
        height = header.height
        if self.height > height:
            raise InvariantViolation(f"the block store is at height {self.height}: the snapshot of height {height} is older")
        stem = _Stem(header, header.hash, certificate, b"")
        puts = [(_key(b"s/", height), encode(stem)), (_HEIGHT, height.to_bytes(8, "big")), (_BASE, height.to_bytes(8, "big"))]
        puts += [(b"t/" + tx_id, encode(TransactionPlace(at, index))) for at, found in ids for index, tx_id in enumerate(found)]
        self._kv.write(puts, sync=True)
        self.base, self.tip = height, (height, stem.header_hash)
        for kind, stop in ((b"s/", height), (b"b/", height + 1)):
            doomed = [key for key, _ in self._kv.iterate(start=kind, stop=_key(kind, stop))]
            for start in range(0, len(doomed), _SWEEP):
                self._kv.write([], doomed[start : start + _SWEEP], sync=True)

    def put(self, block: StoredBlock, ids: tuple[bytes, ...], *, sync: bool = True) -> None:
        """Append a block; `ids` are the transaction ids of `block.transactions`. Storing the same block again changes nothing.

        Raises `InvariantViolation` for a gap, a foreign parent or another block at a stored height: consensus was broken, or our code is.
        """
        height = block.header.height
        if height <= self.height:
            if self._stem(height).header_hash != block.header_hash:
                raise InvariantViolation(f"another block than the stored one was certified at height {height}: stop and compare the nodes' stores")
            return
        if height != self.height + 1 or (height > 0 and block.header.parent != self.tip_hash):
            raise InvariantViolation(f"block {height} doesn't follow block {self.height} of this store")
        if len(ids) != len(block.transactions) or (height > 0 and block.certificate is None):
            raise InvariantViolation(f"block {height} lacks transaction ids or its certificate")
        content = encode(_Content(block.batch, block.transactions, block.outcome))
        puts = [
            (_key(b"s/", height), encode(_Stem(block.header, block.header_hash, block.certificate, blake2b_256(content)))),
            (_key(b"b/", height), content),
            (_HEIGHT, height.to_bytes(8, "big")),
        ]
        puts += [(b"t/" + tx_id, encode(TransactionPlace(height, index))) for index, tx_id in enumerate(ids)]
        self._crash.reach("blockstore.before")
        self._kv.write(puts, sync=sync)
        self._crash.reach("blockstore.after")
        self.tip = (height, block.header_hash)

    def block(self, height: int) -> StoredBlock:
        """The block at `height`. Raises `StorageError` if it isn't there or is damaged."""
        if height < self.first:
            raise self._pruned(height)
        stem = self._stem(height)
        raw = self._kv.get(_key(b"b/", height))
        if raw is not None and blake2b_256(raw) != stem.content_hash:
            raise StorageError(f"block {height} is damaged: its content isn't what was written: {_REPAIR}", code="corrupt")
        content = self._decoded(raw, height, _Content)
        return StoredBlock(stem.header, stem.header_hash, content.batch, content.transactions, content.outcome, stem.certificate)

    def header(self, height: int) -> Header:
        """The header at `height`. Raises `StorageError`."""
        return self._stem(height).header

    def header_hash(self, height: int) -> bytes:
        """The header's hash at `height`. Raises `StorageError`."""
        return self._stem(height).header_hash

    def certificate(self, height: int) -> Certificate | None:
        """The certificate of `height`, None for height 0. Raises `StorageError`."""
        return self._stem(height).certificate

    def headers(self, start: int, stop: int) -> Iterator[tuple[Header, bytes, Certificate | None]]:
        """Header, header hash and certificate of the heights start <= h < stop that are stored."""
        for height in range(max(start, 0), min(stop, self.height + 1)):
            stem = self._stem(height)
            yield stem.header, stem.header_hash, stem.certificate

    def transaction(self, tx_id: bytes) -> TransactionPlace | None:
        """Where a transaction stands, or None; also while its block is just being stored. Raises `StorageError` if its index entry is damaged."""
        raw = self._kv.get(b"t/" + tx_id)
        if raw is None:
            return None
        try:
            place = decode(raw, TransactionPlace)
        except InvalidBlock as error:
            raise StorageError(f"the index entry of transaction {tx_id.hex()} is damaged ({error}): {_REPAIR}", code="corrupt") from None
        return place if place.height <= self.height else None

    def ids_between(self, first: int, last: int) -> dict[int, list[bytes]]:
        """Ids of the transactions of these heights, by height, in the blocks' order; walks the whole index. Raises `StorageError`."""
        found: dict[int, list[tuple[int, bytes]]] = {height: [] for height in range(max(first, 1), last + 1)}
        for key, _ in self._kv.iterate(start=b"t/", stop=b"t0"):
            place = self.transaction(key[2:])
            if place is not None and place.height in found:
                found[place.height].append((place.index, key[2:]))
        return {height: [tx_id for _, tx_id in sorted(items)] for height, items in found.items()}

    def verify_chain(self, start: int | None = None) -> None:
        """Check that headers from `start` (by default the last few hundred) hash to what is recorded and link to their parents.

        Raises `StorageError` that names the first height which is off.
        """
        first = max(self.base, self.height - START_CHECK_BLOCKS if start is None else start)
        parent = self._stem(first - 1).header_hash if first > self.base and self.height >= 0 else None
        for height in range(first, self.height + 1):
            stem = self._stem(height)
            if stem.header.hash != stem.header_hash or stem.header.height != height:
                raise StorageError(f"block {height} is damaged: its header doesn't hash to the recorded hash: {_REPAIR}", code="corrupt")
            if parent is not None and stem.header.parent != parent:
                raise StorageError(f"block {height} doesn't link to block {height - 1}: {_REPAIR}", code="corrupt")
            if height > 0 and (stem.certificate is None or stem.certificate.header_hash != stem.header_hash):
                raise StorageError(f"block {height} has no certificate for its header: {_REPAIR}", code="corrupt")
            parent = stem.header_hash

    @staticmethod
    def cut(kv: KV, height: int) -> None:
        """Drop every block above `height` (repair, rollback): what follows is fetched from peers again. Below its base nothing of a store is left."""
        if height < int.from_bytes(kv.get(_BASE) or b"", "big"):
            height = -1
        above = _key(b"", height + 1)
        doomed = [key for kind in (b"s/", b"b/") for key, _ in kv.iterate(start=kind + above, stop=kind + b"\xff")]
        for key, raw in kv.iterate(start=b"t/", stop=b"t0"):
            if msgspec.msgpack.decode(raw)[0] > height:
                doomed.append(key)
        if height < 0:
            kv.write([], [*doomed, _HEIGHT, _BASE], sync=True)
        else:
            kv.write([(_HEIGHT, height.to_bytes(8, "big"))], doomed, sync=True)

    def _pruned(self, height: int) -> StorageError:
        return StorageError(
            f"block {height} isn't here: this store began from the snapshot of height {self.base}; ask a node that keeps older blocks", code="pruned"
        )

    def _stem(self, height: int) -> _Stem:
        if height < self.base:
            raise self._pruned(height)
        return self._record(b"s/", height, _Stem)

    def _record(self, kind: bytes, height: int, type_: type[T]) -> T:
        return self._decoded(self._kv.get(_key(kind, height)), height, type_)

    def _decoded(self, raw: bytes | None, height: int, type_: type[T]) -> T:
        if raw is None:
            raise StorageError(f"block {height} isn't in the store, which ends at {self.height}", code="missing")
        try:
            return decode(raw, type_, max_bytes=MAX_RECORD_BYTES)
        except InvalidBlock as error:
            raise StorageError(f"block {height} is damaged ({error}): {_REPAIR}", code="corrupt") from None
