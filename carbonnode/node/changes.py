"""Changes of the validator set since genesis: what a proof or a user node needs to get from genesis to the set that certified a block.

Each is a header that announces another set, its certificate by the set before, and the new set. They lie in one small file beside the databases,
replaced atomically; a change that a crash kept out of it is found again at start from the headers and the state.
"""

from pathlib import Path

import msgspec

from carbonnode.chain.certificate import Certificate
from carbonnode.chain.codec import decode
from carbonnode.chain.header import Header
from carbonnode.chain.proof import ValidatorChange
from carbonnode.chain.validators import Validator, ValidatorSet
from carbonnode.errors import StorageError
from carbonnode.storage.blocks import BlockStore, StoredBlock
from carbonnode.storage.datadir import write_durably

FILE = "validator-changes.json"


class ChangeFile:
    """The changes, in order of height. Raises `StorageError` if the file is damaged."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE
        self.changes: tuple[ValidatorChange, ...] = ()
        if self._path.exists():
            try:
                self.changes = msgspec.json.decode(self._path.read_bytes(), type=tuple[ValidatorChange, ...])
            except (OSError, msgspec.DecodeError) as error:
                raise StorageError(f"{self._path} is damaged ({error}): remove it, it is made again from the blocks", code="corrupt") from None

    @property
    def height(self) -> int:
        """The height of the last change's header, 0 if there was none."""
        return decode(self.changes[-1].header, Header).height if self.changes else 0

    def add(self, stored: StoredBlock, validators: tuple[Validator, ...]) -> None:
        """The block announces `validators` for the next height."""
        self._append(stored.header, stored.certificate, validators)

    def _append(self, header: Header, certificate: Certificate | None, validators: tuple[Validator, ...]) -> None:
        if certificate is not None and header.height > self.height:
            self.replace((*self.changes, ValidatorChange(header.encoded, certificate, validators)))

    def replace(self, changes: tuple[ValidatorChange, ...]) -> None:
        """Other changes in place of these: up to a snapshot, verified from genesis."""
        self.changes = changes
        write_durably(self._path, msgspec.json.encode(changes))

    def cut_above(self, height: int) -> None:
        """Forget changes that blocks above `height` announced: those blocks are gone."""
        kept = tuple(change for change in self.changes if decode(change.header, Header).height <= height)
        if kept != self.changes:
            self.replace(kept)

    def complete(self, blocks: BlockStore, current: ValidatorSet) -> None:
        """Add the last change if a crash kept it out: `current` certifies the block after the stored ones."""
        if blocks.height < 1 or blocks.header(blocks.height).next_validators_hash != current.hash:
            return
        for height in range(blocks.height, max(self.height, blocks.base - 1), -1):
            header = blocks.header(height)
            if header.next_validators_hash != current.hash:
                return
            if header.validators_hash != header.next_validators_hash:
                self._append(header, blocks.certificate(height), current.validators)
                return
            if height % 1_000 == 0 and header.validators_hash == self._last_hash(blocks):
                return

    def _last_hash(self, blocks: BlockStore) -> bytes:
        """The hash of the set that the known changes lead to."""
        if self.changes:
            return decode(self.changes[-1].header, Header).next_validators_hash
        return blocks.header(blocks.base).next_validators_hash

    def announced_at(self, height: int) -> tuple[Validator, ...]:
        """The set that the header of `height` announces if it differs from its own, else nothing."""
        for change in self.changes:
            if decode(change.header, Header).height == height:
                return change.validators
        return ()
