"""A disk that keeps what was synced and may lose or tear what wasn't, with the production journal format."""

from dataclasses import dataclass, field

from carbonnode.chain.certificate import Certificate
from carbonnode.chain.codec import decode
from carbonnode.chain.header import Header
from carbonnode.chain.proof import ValidatorChange
from carbonnode.consensus.actions import Record
from carbonnode.errors import StorageError
from carbonnode.ledger.snapshot import Verified
from carbonnode.node.snapshot_machine import BlockIds, name_of, unkept
from carbonnode.node.wire import SnapshotOffer
from carbonnode.sim.chain import Block
from carbonnode.sim.dice import Dice
from carbonnode.storage import journal_format

_FRAMES_PER_SEGMENT = 64


@dataclass
class Segment:
    """A journal file: bytes written, how many of them are synced, the greatest height of its records."""

    data: bytearray
    synced: int
    max_height: int
    frames: int = 0


@dataclass(frozen=True)
class Shelved:
    """A snapshot that is served: the block whose state it is, and what certifies that."""

    block: Block
    certificate: Certificate
    changes: tuple[ValidatorChange, ...]


@dataclass(frozen=True)
class Decided:
    """A fetched state that will be the node's, whatever happens: the block as the state tells it, and the ids of the last blocks by height."""

    block: Block
    certificate: Certificate
    changes: tuple[ValidatorChange, ...]
    ids: dict[int, tuple[bytes, ...]]


@dataclass
class Incoming:
    """A snapshot that is being fetched: `snapshot_machine.Store`. Chunks aren't synced."""

    name: str = ""
    chunks: dict[str, bytes] = field(default_factory=dict)
    parts: list[BlockIds] = field(default_factory=list)

    def begun(self) -> list[str]:
        """`snapshot_machine.Store`"""
        return [self.name]

    def begin(self, offer: SnapshotOffer, _proof: bytes) -> None:
        """`snapshot_machine.Store`"""
        if name_of(offer) != self.name:
            self.name = name_of(offer)
            self.chunks.clear()
            self.parts.clear()

    def missing(self, snapshot: Verified) -> list[int]:
        """`snapshot_machine.Store`"""
        return unkept(snapshot, self.chunks.get, self.chunks.__delitem__)

    def read(self, name: str) -> bytes:
        """`snapshot_machine.Store`"""
        return self.chunks[name]

    def keep(self, name: str, data: bytes) -> None:
        """`snapshot_machine.Store`"""
        self.chunks[name] = data

    def keep_ids(self, ids: BlockIds) -> None:
        """`snapshot_machine.Store`"""
        self.parts.append(ids)

    def ids(self) -> list[BlockIds]:
        """`snapshot_machine.Store`"""
        return sorted(self.parts, key=lambda part: part.first, reverse=True)

    def lose_power(self, dice: Dice) -> None:
        """Chunks stay, are torn, or go."""
        for name in list(self.chunks):
            fate = dice.below(3)
            if fate == 1:
                self.chunks[name] = self.chunks[name][: dice.below(len(self.chunks[name]))]
            elif fate == 2:
                del self.chunks[name]


@dataclass
class Disk:
    """One node's disk. Blocks stand for block store and state together: those up to `synced_height` survive a loss of power.

    The first of `blocks` is the base: its state and certificate are there, what was in it isn't.
    """

    segments: list[Segment] = field(default_factory=list)
    blocks: list[tuple[Block, Certificate | None]] = field(default_factory=list)
    synced_height: int = 0
    bodies: set[bytes] = field(default_factory=set)
    """Digests of batches whose transactions are kept for good."""
    loose_bodies: set[bytes] = field(default_factory=set)
    number: int = 0
    changes: tuple[ValidatorChange, ...] = ()
    """Changes of the validator set since genesis; those of blocks that a loss of power took come again."""
    shelf: list[Shelved] = field(default_factory=list)
    incoming: Incoming = field(default_factory=Incoming)
    decided: Decided | None = None

    @property
    def height(self) -> int:
        """The highest block written."""
        return self.blocks[-1][0].height

    @property
    def base(self) -> int:
        """The height below all blocks that can be given away."""
        return self.blocks[0][0].height

    def above(self, height: int, upto: int) -> list[tuple[Block, Certificate | None]]:
        """The blocks above `height`, which isn't below the base, up to `upto`."""
        return self.blocks[height - self.base + 1 : upto - self.base + 1]

    def note_change(self, block: Block, certificate: Certificate) -> None:
        """Remember it where the validators change after a block."""
        if block.following.epoch != block.epoch.epoch:
            self.changes = (*self.changes, ValidatorChange(block.header.encoded, certificate, block.following.validators.validators))

    def changes_before(self, height: int) -> tuple[ValidatorChange, ...]:
        """The changes by blocks below `height`."""
        return tuple(change for change in self.changes if decode(change.header, Header).height < height)

    def prune(self, height: int) -> None:
        """Drop blocks below `height`."""
        drop = height - 1 - self.base
        if drop > 0:
            self.blocks = self.blocks[drop:]

    def install(self, decided: Decided) -> None:
        """Another state takes this one's place."""
        if decided.block.height < self.height:
            raise StorageError(f"the block store is at height {self.height}: the snapshot of height {decided.block.height} is older")
        self.blocks = [(decided.block, decided.certificate)]
        self.synced_height = decided.block.height
        self.changes = decided.changes
        self.note_change(decided.block, decided.certificate)
        self.incoming = Incoming()
        self.decided = None

    def append(self, records: tuple[Record, ...]) -> None:
        """Write a frame; it is safe only after `sync`."""
        if not self.segments or self.segments[-1].frames >= _FRAMES_PER_SEGMENT:
            head = journal_format.segment_head(self.number)
            self.segments.append(Segment(bytearray(head), 0, -1))
        segment = self.segments[-1]
        segment.data += journal_format.encode_frame(self.number, [journal_format.Record(r.height, r.data) for r in records])
        segment.max_height = max([segment.max_height, *[r.height for r in records]])
        segment.frames += 1
        self.number += 1

    def sync(self, lengths: list[tuple[Segment, int]], bodies: set[bytes]) -> None:
        """What was written when the fdatasync began survives anything but a lost disk."""
        for segment, length in lengths:
            segment.synced = max(segment.synced, length)
        self.bodies |= bodies
        self.loose_bodies -= bodies

    def cut_below(self, height: int) -> None:
        """Drop leading segments whose records are all below `height`; only finalised, synced heights may be named."""
        if height > self.synced_height:
            raise StorageError(f"the journal would be cut below {height}, but only {self.synced_height} is synced")
        while len(self.segments) > 1 and self.segments[0].max_height < height:
            self.segments.pop(0)

    def lose_power(self, dice: Dice) -> None:
        """Unsynced blocks go; of unsynced journal bytes a random prefix stays."""
        self.loose_bodies.clear()
        self.blocks = self.blocks[: max(1, self.synced_height - self.base + 1)]
        self.changes = self.changes_before(self.height + 1)
        self.incoming.lose_power(dice)
        kept: list[Segment] = []
        for segment in self.segments:
            loose = len(segment.data) - segment.synced
            if loose:
                segment.data = segment.data[: segment.synced + dice.below(loose + 1)]
            if len(segment.data) >= journal_format.SEGMENT_HEAD_BYTES:
                kept.append(segment)
            if loose:
                break
        self.segments = kept

    def open_journal(self) -> list[bytes]:
        """Read the records back, cutting a torn tail and syncing the rest; damage in the middle is a `StorageError`."""
        self.bodies |= self.loose_bodies
        self.loose_bodies.clear()
        records: list[bytes] = []
        for place, segment in enumerate(self.segments):
            found = journal_format.scan(bytes(segment.data))
            if found.damaged or (found.torn and place < len(self.segments) - 1):
                raise StorageError("the journal is damaged in its middle")
            segment.data = segment.data[: max(found.end, journal_format.SEGMENT_HEAD_BYTES)]
            segment.synced = len(segment.data)
            self.number = max(found.next_frame, int.from_bytes(segment.data[8:16], "big"))
            records += [record.data for record in found.records]
        return records
