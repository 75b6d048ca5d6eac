"""A snapshot that is being fetched, on disk: what was verified stays through any crash, and is verified again when it is used.

`incoming/<height>-<digest>/` holds `proof` (manifest, certificate, changes of validators), one file a chunk, and the ids of the last blocks in files
`ids-<first>`. Complete means that every one of them is there.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from carbonnode.chain.codec import decode, encode
from carbonnode.chain.genesis import Genesis
from carbonnode.errors import StorageError
from carbonnode.ledger.snapshot import MAX_PROOF_BYTES, SnapshotProof, Verified, verify_snapshot
from carbonnode.node.snapshot_machine import BlockIds, name_of, unkept
from carbonnode.node.wire import SnapshotOffer
from carbonnode.storage.datadir import write_durably

PROOF: Final = "proof"
_IDS: Final = "ids-"
MAX_IDS_BYTES: Final = 256 * 1024 * 1024


class FetchedSnapshot:
    """One directory of it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def begin(cls, parent: Path, height: int, digest: bytes, proof: bytes) -> "FetchedSnapshot":
        """The directory of this snapshot, begun or gone on with; those of other snapshots go."""
        path = parent / name_of(SnapshotOffer(height, digest))
        parent.mkdir(parents=True, exist_ok=True)
        for other in parent.iterdir():
            if other != path:
                shutil.rmtree(other)
        path.mkdir(exist_ok=True)
        write_durably(path / PROOF, proof)
        return cls(path)

    def verified(self, genesis: Genesis) -> Verified:
        """The manifest, certified from genesis. Raises `InvalidBlock` or `StorageError`."""
        return verify_snapshot(decode(self.read(PROOF), SnapshotProof, max_bytes=MAX_PROOF_BYTES), genesis)

    def read(self, name: str) -> bytes:
        """A file's bytes. Raises `StorageError`."""
        try:
            return (self.path / name).read_bytes()
        except OSError as error:
            raise StorageError(f"{self.path / name} can't be read ({error.strerror}): remove {self.path}, it is fetched again") from None

    def missing(self, snapshot: Verified) -> list[int]:
        """Indices of the chunks that aren't here or don't check: torn by a crash, for all we know."""

        def find(name: str) -> bytes | None:
            path = self.path / name
            return path.read_bytes() if path.exists() else None

        return unkept(snapshot, find, lambda name: (self.path / name).unlink())

    def keep(self, name: str, data: bytes) -> None:
        """Keep a verified chunk. Not synced: it is checked again before use."""
        temporary = self.path / (name + ".new")
        temporary.write_bytes(data)
        temporary.replace(self.path / name)

    def keep_ids(self, ids: BlockIds) -> None:
        """Keep the verified ids of some blocks, durably: nothing checks them again."""
        write_durably(self.path / f"{_IDS}{ids.first:016d}", encode(ids))

    def ids(self) -> list[BlockIds]:
        """What is here of the ids, from the highest blocks down."""
        names = sorted((entry.name for entry in self.path.iterdir() if entry.name.startswith(_IDS) and entry.name[len(_IDS) :].isdigit()), reverse=True)
        return [decode(self.read(name), BlockIds, max_bytes=MAX_IDS_BYTES) for name in names]

    def ids_by_height(self) -> Iterator[tuple[int, tuple[bytes, ...]]]:
        """(height, ids) of the blocks that are here."""
        for part in self.ids():
            yield from enumerate(part.ids, part.first)

    def joined_ids(self) -> list[tuple[int, bytes]]:
        """(height, ids one after another), as the state keeps them."""
        return [(height, b"".join(ids)) for height, ids in self.ids_by_height()]
