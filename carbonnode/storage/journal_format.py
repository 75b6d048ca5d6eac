"""The vote journal's format: segments of frames, pure bytes (the simulator tears and damages them too).

A segment is a 16-byte head (magic, number) and frames one after another. A frame is one group commit: it was written in one piece and synced
before the next one was begun. So a broken frame with a sound one behind it is damage of something acknowledged, and a broken frame with
nothing sound behind it is the torn tail of a write that nobody was told about.

Frame: magic (4), body length (4), CRC-32 of number and body (4), frame number (8), body. The body is one or more records: height (8), length (4), bytes.
"""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass

SEGMENT_MAGIC = b"CNJSEG01"
FRAME_MAGIC = b"\xc5CNJ"
SEGMENT_HEAD_BYTES = 16
FRAME_HEAD_BYTES = 20
RECORD_HEAD_BYTES = 12
MAX_FRAME_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Record:
    """An opaque vote record and the height it belongs to."""

    height: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Scan:
    """What a segment holds: its records, where its sound part ends, the next frame number, and whether the rest is damage or a torn tail."""

    records: tuple[Record, ...]
    end: int
    next_frame: int
    torn: bool
    damaged: bool
    max_height: int


def segment_head(first_frame: int) -> bytes:
    """The bytes a segment starts with; its frames count up from `first_frame`."""
    return SEGMENT_MAGIC + first_frame.to_bytes(8, "big")


def encode_frame(number: int, records: Iterable[Record]) -> bytes:
    """One group commit as bytes. Raises `ValueError` if it is larger than a frame may be."""
    parts: list[bytes] = []
    for record in records:
        parts += (record.height.to_bytes(8, "big"), len(record.data).to_bytes(4, "big"), record.data)
    body = b"".join(parts)
    if len(body) > MAX_FRAME_BYTES:
        raise ValueError(f"a journal frame of {len(body)} bytes exceeds {MAX_FRAME_BYTES}")
    count = number.to_bytes(8, "big")
    return b"".join((FRAME_MAGIC, len(body).to_bytes(4, "big"), zlib.crc32(body, zlib.crc32(count)).to_bytes(4, "big"), count, body))


def _frame_end(data: bytes, at: int) -> int | None:
    """Where the frame at `at` ends, or None if there is no sound frame."""
    body = at + FRAME_HEAD_BYTES
    if data[at : at + 4] != FRAME_MAGIC or body > len(data):
        return None
    size = int.from_bytes(data[at + 4 : at + 8], "big")
    end = body + size
    if size > MAX_FRAME_BYTES or end > len(data):
        return None
    crc = int.from_bytes(data[at + 8 : at + 12], "big")
    return end if zlib.crc32(memoryview(data)[at + 12 : end]) == crc else None


def _records(data: bytes, at: int, end: int) -> list[Record] | None:
    """The records of a frame body, or None if they don't fill it exactly."""
    out: list[Record] = []
    while at < end:
        start = at + RECORD_HEAD_BYTES
        stop = start + int.from_bytes(data[at + 8 : start], "big")
        if start > end or stop > end:
            return None
        out.append(Record(int.from_bytes(data[at : at + 8], "big"), data[start:stop]))
        at = stop
    return out


def _sound_frame_behind(data: bytes, at: int) -> bool:
    found = data.find(FRAME_MAGIC, at)
    while found >= 0:
        if _frame_end(data, found) is not None:
            return True
        found = data.find(FRAME_MAGIC, found + 1)
    return False


def scan(data: bytes) -> Scan:
    """Read a segment.

    `damaged`: the head or a frame is broken although sound frames follow, or frame numbers jump. `torn`: only the tail is broken; the sound part
    ends at `end`. An empty or shorter-than-head file is torn at 0.
    """
    if len(data) < SEGMENT_HEAD_BYTES:
        return Scan((), 0, 0, torn=True, damaged=False, max_height=-1)
    if data[:8] != SEGMENT_MAGIC:
        behind = _sound_frame_behind(data, 0)
        return Scan((), 0, 0, torn=not behind, damaged=behind, max_height=-1)
    number = int.from_bytes(data[8:16], "big")
    records: list[Record] = []
    at, highest = SEGMENT_HEAD_BYTES, -1
    while at < len(data):
        end = _frame_end(data, at)
        found = None if end is None else _records(data, at + FRAME_HEAD_BYTES, end)
        if end is None or found is None or int.from_bytes(data[at + 12 : at + 20], "big") != number:
            damaged = end is not None or _sound_frame_behind(data, at + 1)
            return Scan(tuple(records), at, number, torn=not damaged, damaged=damaged, max_height=highest)
        records += found
        highest = max(highest, *(record.height for record in found)) if found else highest
        number += 1
        at = end
    return Scan(tuple(records), at, number, torn=False, damaged=False, max_height=highest)
