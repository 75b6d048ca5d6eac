"""Writing a snapshot's chunk files from one frozen view of the state database, in slices of time (design, section 4).

Leaves lie in the database by key, chunks go by the hash of the key. So one pass sorts them into buckets by the first digits of their path, which spill to
files when they grow; then each chunk is cut from its buckets. The executor gives the writer a few milliseconds at a time, so that no block waits for it.
"""

import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from carbonnode.chain.codec import encode
from carbonnode.chain.header import Header
from carbonnode.chain.ports import KVReader
from carbonnode.errors import DiskFull, InvariantViolation, StorageError
from carbonnode.ledger import layout
from carbonnode.ledger.snapshot import (
    CHUNK_BYTES,
    SNAPSHOT_VERSION,
    ChunkRef,
    Manifest,
    PlacedLeaf,
    cut,
    encode_chunk,
    leaf_bytes,
    place,
    top_nodes,
    tree_leaves,
)
from carbonnode.ledger.tree import node_hash
from carbonnode.storage.snapshots import MANIFEST
from carbonnode.storage.space import FULL_ERRNOS, SpaceGuard

BUCKET_DIGITS: Final = 3
HOLD_BYTES: Final = 16 * 1024 * 1024
"""Leaves held in memory before they spill."""
_BREATH: Final = 256
"""Leaves handled between two looks at the clock."""
_SPILL: Final = "spill"
_DIGITS: Final = [bytes((digit,)) for digit in b"0123456789abcdef"]


class _Bucket:
    """Leaves whose paths begin alike, in memory and on disk."""

    __slots__ = ("frames", "held", "path", "size", "spilled")

    def __init__(self, path: Path) -> None:
        self.path = path
        self.frames: list[bytes] = []
        self.held = 0
        self.size = 0
        self.spilled = False

    def spill(self) -> None:
        if self.frames:
            with self.path.open("ab") as file:
                file.write(b"".join(self.frames))
            self.frames.clear()
            self.held = 0
            self.spilled = True

    def leaves(self) -> list[PlacedLeaf]:
        data = (self.path.read_bytes() if self.spilled else b"") + b"".join(self.frames)
        found: list[PlacedLeaf] = []
        at = 0
        while at < len(data):
            middle = at + 8 + int.from_bytes(data[at : at + 4], "big")
            end = middle + int.from_bytes(data[at + 4 : at + 8], "big")
            found.append(place(data[at + 8 : middle], data[middle:end]))
            at = end
        return found


class SnapshotWriter:
    """One snapshot being written into `directory`; `work` until it says that it is done, or `close` to give up."""

    def __init__(self, kv: KVReader, header: Header, directory: Path, guard: SpaceGuard, *, limit: int = CHUNK_BYTES, hold_bytes: int = HOLD_BYTES) -> None:
        self._kv = kv
        self._header = header
        self._directory = directory
        self._guard = guard
        self._limit = limit
        self._hold_bytes = hold_bytes
        self._buckets: dict[bytes, _Bucket] = {}
        self._sizes: dict[bytes, int] = {}
        self._counts: dict[bytes, int] = {}
        self._chunks: list[ChunkRef] = []
        self._steps = self._run()
        self.leaves = 0
        """Leaves read so far."""
        self.size_bytes = 0
        """Bytes of chunks written so far."""

    @property
    def height(self) -> int:
        """The snapshot's height."""
        return self._header.height

    @property
    def chunks(self) -> int:
        """Chunks written so far."""
        return len(self._chunks)

    def work(self, budget_us: int) -> bool:
        """Go on for about `budget_us`; True once everything is written (not yet synced). Raises `StorageError` if the disk refuses."""
        deadline = time.perf_counter_ns() + budget_us * 1000
        try:
            for _ in self._steps:
                if time.perf_counter_ns() >= deadline:
                    return False
        except OSError as error:
            text = f"the snapshot of height {self.height} couldn't be written ({error.strerror}): it is left out"
            raise (DiskFull(text) if error.errno in FULL_ERRNOS else StorageError(text, code="io")) from None
        return True

    def _run(self) -> Iterator[None]:
        yield from self._sort()
        yield from self._emit(b"")
        shutil.rmtree(self._directory / _SPILL, ignore_errors=True)
        root, _ = top_nodes(self._chunks)
        if root != self._header.state_root:
            raise InvariantViolation(f"the chunks of height {self.height} don't give its state root: run `carbonnode verify-store`")
        manifest = encode(Manifest(SNAPSHOT_VERSION, self._header.encoded, tuple(self._chunks)))
        self._write(MANIFEST, manifest)

    def _sort(self) -> Iterator[None]:
        held = 0
        spill = self._directory / _SPILL
        for key, record in self._kv.iterate(start=layout.VALUE, stop=layout.prefix_end(layout.VALUE)):
            leaf = place(key[1:], record)
            prefix = leaf.path[:BUCKET_DIGITS]
            bucket = self._buckets.get(prefix)
            if bucket is None:
                bucket = self._buckets[prefix] = _Bucket(spill / prefix.decode())
            frame = b"".join((len(leaf.key).to_bytes(4, "big"), len(record).to_bytes(4, "big"), leaf.key, record))
            bucket.frames.append(frame)
            bucket.held += len(frame)
            held += len(frame)
            size = leaf_bytes(leaf)
            for digits in range(BUCKET_DIGITS + 1):
                part = prefix[:digits]
                self._sizes[part] = self._sizes.get(part, 0) + size
                self._counts[part] = self._counts.get(part, 0) + 1
            self.leaves += 1
            if self.leaves % _BREATH == 0:
                yield
            if held >= self._hold_bytes:
                spill.mkdir(exist_ok=True)
                for full in self._buckets.values():
                    self._guard.check(full.held)
                    full.spill()
                    yield
                held = 0

    def _emit(self, prefix: bytes) -> Iterator[None]:
        size = self._sizes.get(prefix, 0)
        if not size:
            return
        if size > self._limit and self._counts[prefix] > 1 and len(prefix) < BUCKET_DIGITS:
            for digit in _DIGITS:
                yield from self._emit(prefix + digit)
            return
        leaves: list[PlacedLeaf] = []
        for name in [name for name in self._buckets if name.startswith(prefix)]:
            leaves += self._buckets.pop(name).leaves()
            yield
        leaves.sort()
        yield
        for path, part in cut(prefix, leaves, self._limit):
            yield from self._chunk(path, part)

    def _chunk(self, path: bytes, leaves: Sequence[PlacedLeaf]) -> Iterator[None]:
        single = bool(path) and len(leaves) == 1
        record = None if single else self._kv.get(layout.NODE + path)
        if single:
            ref = ChunkRef(path, leaf=True, hash=tree_leaves(leaves)[0].hash)
        elif record is None:
            raise StorageError(f"the state lacks the tree node at {path.decode()!r}: run `carbonnode verify-store`", code="corrupt")
        else:
            ref = ChunkRef(path, leaf=False, hash=node_hash(record))
        self._chunks.append(ref)
        self._write(ref.name, encode_chunk(leaves))
        yield

    def _write(self, name: str, data: bytes) -> None:
        self._guard.check(len(data))
        (self._directory / name).write_bytes(data)
        self.size_bytes += len(data)
