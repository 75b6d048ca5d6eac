"""A disk that keeps what was synced and may lose or tear what wasn't, with the production journal format."""

from dataclasses import dataclass, field

from carbonnode.chain.certificate import Certificate
from carbonnode.consensus.actions import Record
from carbonnode.errors import StorageError
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


@dataclass
class Disk:
    """One node's disk. Blocks stand for block store and state together: `synced_blocks` of them survive a loss of power."""

    segments: list[Segment] = field(default_factory=list)
    blocks: list[tuple[Block, Certificate | None]] = field(default_factory=list)
    synced_blocks: int = 0
    bodies: set[bytes] = field(default_factory=set)
    """Digests of batches whose transactions are kept for good."""
    loose_bodies: set[bytes] = field(default_factory=set)
    number: int = 0

    @property
    def height(self) -> int:
        """The highest block written."""
        return self.blocks[-1][0].height

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
        if height > self.synced_blocks - 1:
            raise StorageError(f"the journal would be cut below {height}, but only {self.synced_blocks - 1} is synced")
        while len(self.segments) > 1 and self.segments[0].max_height < height:
            self.segments.pop(0)

    def lose_power(self, dice: Dice) -> None:
        """Unsynced blocks go; of unsynced journal bytes a random prefix stays."""
        self.loose_bodies.clear()
        self.blocks = self.blocks[: max(1, self.synced_blocks)]
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
