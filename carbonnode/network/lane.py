"""One stream of a proven link: its writer, its sink, and the credit it gives its peer.

Frames are coalesced to one write of at most `write_bytes`; a sink cuts what arrives into frames and hands all of one read over at once. Credit
(yamux's window) goes back when the daemon has kept up and the peer has kept to its rate: that is all the back-pressure there is, and it never
stops a reader, whose other streams go on.
"""

from collections.abc import Callable

import trio
from libp2p.network.stream.exceptions import StreamEOF
from libp2p.network.stream.net_stream import NetStream

from carbonnode.errors import PeerViolation
from carbonnode.network.config import NetworkConfig
from carbonnode.network.fastpath import WINDOW_BYTES, FastPath
from carbonnode.network.metrics import NetworkCounters
from carbonnode.network.shared import LinkHandle, StreamId
from carbonnode.network.wire import PING_BYTES, Frame, FrameKind, FrameParser, frame_header

_CREDIT_BYTES = WINDOW_BYTES // 4
_PIGGYBACK_BYTES = WINDOW_BYTES // 16
_WINDOW_POLL_S = 0.005
_LEAST_BYTES_A_BEAT = 8 * 1024
"""A stream that brings as many between two heartbeats of others is at work on a large frame, be the line ever so thin."""
_LEAST_WINDOW = 64 * 1024
"""A peer that has less of our window left may be waiting for us."""


class StalledError(Exception):
    """The peer takes no bytes."""


class Lane:
    """`take(frames)` hands frames on (raises `PeerViolation`), `violated` hears of what isn't admitted, `wake_later` runs a job in this thread."""

    def __init__(
        self,
        stream_id: StreamId,
        stream: NetStream,
        parser: FrameParser,
        handle: LinkHandle,
        *,
        config: NetworkConfig,
        counters: NetworkCounters,
        take: Callable[[list[Frame]], None],
        violated: Callable[[PeerViolation], None],
        wake_later: Callable[[Callable[[], None]], None],
    ) -> None:
        self._id = stream_id
        self._stream = stream
        self._muxed = stream.muxed_stream
        self._path: FastPath = stream.muxed_conn.secured_conn
        self._parser = parser
        self._handle = handle
        self._config = config
        self._counters = counters
        self._take = take
        self._violated = violated
        self._wake_later = wake_later
        self._wake = trio.Event()
        self._urgent: list[Frame] = []
        self._consumed = 0
        self._held = False
        self._broken = False
        self._allowance = float(config.limits.max_bulk_bytes_per_s)
        self._allowance_at = trio.current_time()
        self.heard = trio.current_time()
        """When bytes came last."""
        self.beats = 0
        """Heartbeats that came on this stream; the peer sends one on each at the same time."""
        self._since_beat = 0
        self._beat_at = self.heard

    def start(self) -> None:
        """Take over the stream's bytes, and open its window."""
        self._path.attach(self._muxed, self._on_bytes)
        self._consumed = max(0, WINDOW_BYTES - self._muxed.recv_window)
        self._on_bytes(b"")  # what came right behind the handshake waits in the parser

    def wake(self) -> None:
        """Frames may wait in the outbox."""
        self._wake.set()

    def send_first(self, kind: int, payload: bytes) -> None:
        """A frame that goes before those of the outbox."""
        self._urgent.append((kind, payload))
        self._wake.set()

    def is_deaf(self, beats: int, most_missed: int, since: float) -> bool:
        """Whether this stream has brought nothing `since` a time, when another one of the link has brought so many heartbeats.

        Counted in heartbeats and bytes as well as in seconds: so it holds no pause of the peer, nor a slow line, against anybody.
        """
        missed = beats - self.beats
        if self._beat_at > since:
            return False
        return missed >= most_missed and self._since_beat < missed * _LEAST_BYTES_A_BEAT and self._muxed.recv_window >= _LEAST_WINDOW

    # -- writing -----------------------------------------------------------------------------------------------------------------------------

    async def write_loop(self) -> None:
        """Write until the link ends. Raises `StalledError` or one of libp2p's errors."""
        limit = self._config.limits.write_bytes
        while True:
            wake = self._wake = trio.Event()
            frames = self._handle.outboxes[self._id].take(limit)
            if self._urgent:
                frames = self._urgent + frames
                self._urgent = []
            if frames:
                await self._write(frames, limit)
            elif credit := self._due_credit(_CREDIT_BYTES):
                await self._path.send(self._muxed, b"", credit)
            else:
                with trio.move_on_at(self._credit_at()):
                    await wake.wait()

    async def _write(self, frames: list[Frame], limit: int) -> None:
        parts: list[bytes] = []
        for kind, payload in frames:
            parts.append(frame_header(kind, len(payload)))
            parts.append(payload)
        data = b"".join(parts)
        self._handle.frames_out += len(frames)
        self._handle.bytes_out += len(data)
        self._counters.frames_out += len(frames)
        self._counters.bytes_out += len(data)
        for at in range(0, len(data), limit):
            chunk = data[at : at + limit] if len(data) > limit else data
            self._counters.writes += 1
            with trio.move_on_after(self._config.write_stall_ms / 1000) as scope:
                while self._muxed.send_window < len(chunk):  # yamux's own wait gives up after 5 s and resets the stream
                    if credit := self._due_credit(_CREDIT_BYTES):
                        await self._path.send(self._muxed, b"", credit)  # or both sides might wait for each other
                    await trio.sleep(_WINDOW_POLL_S)
                await self._path.send(self._muxed, chunk, self._due_credit(_PIGGYBACK_BYTES))
            if scope.cancelled_caught:
                raise StalledError

    async def watch(self) -> None:
        """Return never; raises when the stream ends."""
        await self._stream.read(1)
        raise StreamEOF

    # -- reading -----------------------------------------------------------------------------------------------------------------------------

    def _on_bytes(self, data: bytes) -> None:
        if self._broken:
            return
        try:
            self._since_beat += len(data)
            frames = self._parser.feed(data)
            if frames:
                self._count_beats(frames)
                self._take(frames)
        except PeerViolation as violation:
            self._broken = True
            self._violated(violation)
            return
        size = len(data)
        self._consumed += size
        self.heard = trio.current_time()
        self._handle.frames_in += len(frames)
        self._handle.bytes_in += size
        self._counters.frames_in += len(frames)
        self._counters.bytes_in += size
        self._counters.reads += 1
        if self._id is StreamId.BULK:
            rate = self._config.limits.max_bulk_bytes_per_s
            self._allowance = min(float(rate), self._allowance + (self.heard - self._allowance_at) * rate) - size
            self._allowance_at = self.heard
        if self._unread() > self._config.limits.max_unread_bytes and not self._held:
            self._held = True
            self._handle.resumes[self._id] = lambda: self._wake_later(self._resume)
            self._resume()  # the daemon may have caught up before it could see that it is waited for
        if self._consumed >= _CREDIT_BYTES:
            self._wake.set()

    def _count_beats(self, frames: list[Frame]) -> None:
        for kind, payload in frames:
            if kind == FrameKind.PING:
                if len(payload) != PING_BYTES:
                    raise PeerViolation(f"a heartbeat of {len(payload)} bytes", code="bad-frame")
                self.beats += 1
                self._since_beat = 0
                self._beat_at = trio.current_time()

    # -- credit ------------------------------------------------------------------------------------------------------------------------------

    def _unread(self) -> int:
        return self._handle.received[self._id] - self._handle.taken[self._id]

    def _resume(self) -> None:
        if self._held and self._unread() <= self._config.limits.max_unread_bytes // 2:
            self._held = False
            self._handle.resumes[self._id] = None
            self._wake.set()

    def _credit_at(self) -> float:
        """When credit may be given that is due now but for the peer's rate; never, if it isn't."""
        if self._held or self._consumed < _CREDIT_BYTES:
            return float("inf")
        return self._allowance_at + max(0.0, -self._allowance) / self._config.limits.max_bulk_bytes_per_s

    def _due_credit(self, least: int) -> int:
        if self._held or self._consumed < least:
            return 0
        if self._allowance < 0 and trio.current_time() < self._credit_at():
            return 0
        credit, self._consumed = self._consumed, 0
        return credit
