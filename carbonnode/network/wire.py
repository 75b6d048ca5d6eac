"""Frames inside a stream: `length (4 bytes, big-endian) | kind (1 byte) | payload`, length counting the payload only.

The same framing is spoken by every client, so that a refusal can be read without any of our code: handshake and refusal payloads are JSON.
"""

from enum import IntEnum
from struct import Struct

from carbonnode.errors import PeerViolation

_HEADER = Struct("!IB")
HEADER_BYTES = _HEADER.size


PING_BYTES = 8
"""The payload of a heartbeat and of its answer: the sender's clock."""


class FrameKind(IntEnum):
    """What a frame is; each stream admits some kinds only."""

    HELLO = 1
    PROOF = 2
    WELCOME = 3
    REFUSED = 4
    DATA = 16
    PING = 17
    PONG = 18
    REQUEST = 32
    RESPONSE = 33
    FAILURE = 34


Frame = tuple[int, bytes]
"""(kind, payload)."""


def frame_header(kind: int, payload_bytes: int) -> bytes:
    """The five bytes in front of a payload."""
    return _HEADER.pack(payload_bytes, kind)


def encode_frame(kind: int, payload: bytes) -> bytes:
    """One whole frame."""
    return _HEADER.pack(len(payload), kind) + payload


class FrameParser:
    """Cuts a byte stream into frames; holds at most one unfinished frame (during the handshake, one read).

    `caps` gives the admitted kinds and the largest payload of each; replace it when the stream changes its phase. Anything else is a
    `PeerViolation` (`bad-frame`, `frame-too-large`), found at the header, before a byte of the payload is kept.
    """

    def __init__(self, caps: dict[int, int]) -> None:
        self.caps = caps
        self._parts: list[bytes] = []
        self._held = 0
        self._needed = HEADER_BYTES

    def feed(self, data: bytes, *, only_one: bool = False) -> list[Frame]:
        """The frames that `data` completes, in order; with `only_one` at most one, later ones stay for `feed(b"")`."""
        if self._held:
            self._parts.append(data)
            self._held += len(data)
            if self._held < self._needed:
                return []
            data = b"".join(self._parts)
            self._parts.clear()
            self._held = 0
        return self._cut(data, only_one=only_one)

    def _cut(self, data: bytes, *, only_one: bool) -> list[Frame]:
        frames: list[Frame] = []
        caps = self.caps
        at, end = 0, len(data)
        self._needed = HEADER_BYTES
        while end - at >= HEADER_BYTES and not (only_one and frames):
            length, kind = _HEADER.unpack_from(data, at)
            cap = caps.get(kind)
            if cap is None:
                raise PeerViolation(f"a frame of kind {kind} came where none is admitted: the peer speaks another protocol", code="bad-frame")
            if length > cap:
                raise PeerViolation(f"a frame of {length} bytes was announced, {cap} are admitted", code="frame-too-large")
            stop = at + HEADER_BYTES + length
            if stop > end:
                self._needed = stop - at
                break
            frames.append((kind, data[at + HEADER_BYTES : stop]))
            at = stop
        if at < end:
            self._parts.append(data[at:] if at else data)
            self._held = end - at
        return frames
