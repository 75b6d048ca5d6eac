"""One authenticated link under trio: a reader and a writer per stream, and the heartbeat."""

from collections.abc import Callable
from struct import Struct

import trio
from libp2p.exceptions import BaseLibp2pError
from libp2p.network.stream.exceptions import StreamEOF
from libp2p.network.stream.net_stream import NetStream

from carbonnode.errors import PeerViolation
from carbonnode.network.config import NetworkConfig
from carbonnode.network.peer import CloseReason
from carbonnode.network.requests import FAILURE_BYTES, REQUEST_OVERHEAD, RESPONSE_OVERHEAD, well_formed
from carbonnode.network.shared import Bridge, LinkHandle, StreamId
from carbonnode.network.switchboard import Switchboard
from carbonnode.network.wire import Frame, FrameKind, FrameParser, frame_header

READ_BYTES = 256 * 1024
_WINDOW_POLL_S = 0.005
_RTT_WEIGHT = 0.3
_PING = Struct("!d")


class _StalledError(Exception):
    """The peer takes no bytes."""


def stream_caps(config: NetworkConfig) -> tuple[dict[int, int], ...]:
    """Frames admitted on each stream of a proven link."""
    limits = config.limits
    return (
        {FrameKind.DATA: limits.max_frame_bytes, FrameKind.PING: _PING.size, FrameKind.PONG: _PING.size},
        {FrameKind.DATA: limits.max_frame_bytes},
        {
            FrameKind.REQUEST: limits.max_request_bytes + REQUEST_OVERHEAD,
            FrameKind.RESPONSE: limits.max_response_bytes + RESPONSE_OVERHEAD,
            FrameKind.FAILURE: FAILURE_BYTES,
        },
    )


class Link:
    """Runs from admission to its end; `close` may be called at any time in the trio thread."""

    def __init__(
        self,
        handle: LinkHandle,
        streams: tuple[NetStream, NetStream, NetStream],
        parser: FrameParser,
        *,
        instance: bytes,
        credential: bytes,
        board: Switchboard,
        bridge: Bridge,
    ) -> None:
        self.handle = handle
        self.instance = instance
        self.credential = credential
        self._streams = streams
        self._config = board.config
        self._board = board
        self._bridge = bridge
        self._reception = board.reception
        caps = stream_caps(board.config)
        parser.caps = caps[StreamId.CONSENSUS]
        self._parsers = (parser, FrameParser(caps[StreamId.BULK]), FrameParser(caps[StreamId.SYNC]))
        self._wakes = [trio.Event() for _ in StreamId]
        self._urgent: list[Frame] = []
        self._heard = trio.current_time()
        self._allowance = float(board.config.limits.max_bulk_bytes_per_s)
        self._allowance_at = trio.current_time()
        self._scope = trio.CancelScope()
        self._reason = ""

    @property
    def reason(self) -> str:
        """Why the link ended; empty while it lives."""
        return self._reason

    def close(self, reason: str) -> None:
        """End the link; the first reason counts."""
        if not self._reason:
            self._reason = reason
        self._scope.cancel()

    def wake(self) -> None:
        """Frames wait in an outbox."""
        for stream, outbox in enumerate(self.handle.outboxes):
            if outbox.waiting_bytes:
                self._wakes[stream].set()

    async def run(self, *first: Frame) -> None:
        """Serve the link until it ends, sending `first` before everything else; `reason` says why it ended."""
        self._urgent[:0] = first
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    for stream in StreamId:
                        nursery.start_soon(self._guard, self._write_loop, stream)
                        nursery.start_soon(self._guard, self._read_loop, stream)
                    nursery.start_soon(self._heartbeat)
        finally:
            self.close(CloseReason.STOPPED)
            self._board.remove(self, self._reason)

    async def _guard(self, loop: Callable[[StreamId], object], stream: StreamId) -> None:
        try:
            await loop(stream)  # type: ignore[misc]
        except PeerViolation as violation:
            self.close(CloseReason.VIOLATION)
            self._board.violated(self, violation)
        except _StalledError:
            self.close(CloseReason.STALLED)
        except BaseLibp2pError:
            self.close(CloseReason.CLOSED)

    # -- writing -------------------------------------------------------------------------------------------------------------------------

    async def _write_loop(self, stream: StreamId) -> None:
        limit = self._config.limits.write_bytes
        counters, handle = self._board.counters, self.handle
        while True:
            wake = self._wakes[stream] = trio.Event()
            frames = handle.outboxes[stream].take(limit)
            if stream is StreamId.CONSENSUS and self._urgent:
                frames = self._urgent + frames
                self._urgent = []
            if not frames:
                await wake.wait()
                continue
            parts: list[bytes] = []
            for kind, payload in frames:
                parts.append(frame_header(kind, len(payload)))
                parts.append(payload)
            data = b"".join(parts)
            handle.frames_out += len(frames)
            handle.bytes_out += len(data)
            counters.frames_out += len(frames)
            counters.bytes_out += len(data)
            await self._write(self._streams[stream], data, limit)

    async def _write(self, stream: NetStream, data: bytes, limit: int) -> None:
        for at in range(0, len(data), limit):
            chunk = data[at : at + limit] if len(data) > limit else data
            self._board.counters.writes += 1
            with trio.move_on_after(self._config.write_stall_ms / 1000) as scope:
                await _window(stream, len(chunk))
                await stream.write(chunk)
            if scope.cancelled_caught:
                raise _StalledError

    # -- reading -------------------------------------------------------------------------------------------------------------------------

    async def _read_loop(self, stream: StreamId) -> None:
        source, parser = self._streams[stream], self._parsers[stream]
        take = (self._take_consensus, self._take_bulk, self._take_sync)[stream]
        counters, handle = self._board.counters, self.handle
        most = self._config.limits.max_unread_bytes
        data = b""
        while True:
            frames = parser.feed(data)
            if frames:
                handle.frames_in += len(frames)
                counters.frames_in += len(frames)
                take(frames)
                if handle.received[stream] - handle.taken[stream] > most:
                    await self._pause(stream, most)
            if stream is StreamId.BULK:
                await self._throttle(len(data))
            data = await source.read(READ_BYTES)
            if not data:
                raise StreamEOF
            self._heard = trio.current_time()
            handle.bytes_in += len(data)
            counters.bytes_in += len(data)
            counters.reads += 1

    def _take_consensus(self, frames: list[Frame]) -> None:
        data: list[bytes] = []
        for kind, payload in frames:
            if kind == FrameKind.DATA:
                data.append(payload)
            elif len(payload) != _PING.size:
                raise PeerViolation(f"a heartbeat of {len(payload)} bytes", code="bad-frame")
            elif kind == FrameKind.PING:
                self._urgent.append((FrameKind.PONG, payload))
                self._wakes[StreamId.CONSENSUS].set()
            else:
                self._take_pong(payload)
        if data:
            self._deliver(StreamId.CONSENSUS, data)

    def _take_bulk(self, frames: list[Frame]) -> None:
        self._deliver(StreamId.BULK, [payload for _, payload in frames])

    def _take_sync(self, frames: list[Frame]) -> None:
        if not all(well_formed(kind, payload) for kind, payload in frames):
            raise PeerViolation("a request or answer without a number", code="bad-frame")
        size = sum(len(payload) for _, payload in frames)
        self.handle.received[StreamId.SYNC] += size
        self._bridge.to_loop(self._reception.sync_frames, self.handle, frames, size)

    def _deliver(self, stream: StreamId, payloads: list[bytes]) -> None:
        size = sum(map(len, payloads))
        self.handle.received[stream] += size
        self._bridge.to_loop(self._reception.frames, self.handle, stream, payloads, size)

    async def _pause(self, stream: StreamId, most: int) -> None:
        """Stop reading this stream until the daemon has caught up; yamux's window then holds the peer back."""
        handle = self.handle
        while handle.received[stream] - handle.taken[stream] > most // 2:
            resumed = trio.Event()
            handle.resumes[stream] = lambda wake=resumed: self._bridge.to_trio(wake.set)  # type: ignore[misc]
            if handle.received[stream] - handle.taken[stream] > most // 2:
                await resumed.wait()
        handle.resumes[stream] = None

    async def _throttle(self, size: int) -> None:
        rate = self._config.limits.max_bulk_bytes_per_s
        now = trio.current_time()
        self._allowance = min(float(rate), self._allowance + (now - self._allowance_at) * rate) - size
        self._allowance_at = now
        if self._allowance < 0:
            await trio.sleep(-self._allowance / rate)

    # -- heartbeat -----------------------------------------------------------------------------------------------------------------------

    async def _heartbeat(self) -> None:
        interval, dead_after = self._config.heartbeat_ms / 1000, self._config.dead_after_ms / 1000
        while True:
            before = trio.current_time()
            self._urgent.append((FrameKind.PING, _PING.pack(before)))
            self._wakes[StreamId.CONSENSUS].set()
            await trio.sleep(interval)
            now = trio.current_time()
            if now - before > 2 * interval + 0.5:
                # This process itself was paused: what the peer sent meanwhile still waits to be read.
                self._heard = now
            if now - self._heard > 1.5 * interval:
                self._board.counters.heartbeats_missed += 1
            if now - self._heard > dead_after:
                self.close(CloseReason.SILENT)

    def _take_pong(self, payload: bytes) -> None:
        (sent,) = _PING.unpack(payload)
        rtt_ms = (trio.current_time() - sent) * 1000
        if not 0 <= rtt_ms <= self._config.dead_after_ms * 10:
            raise PeerViolation("a heartbeat answer that was never asked for", code="bad-frame")
        old = self.handle.rtt_ms
        self.handle.rtt_ms = rtt_ms if old < 0 else old + _RTT_WEIGHT * (rtt_ms - old)


async def _window(stream: NetStream, size: int) -> None:
    """Wait until yamux may send `size` bytes: its own wait ends in an error after 5 s and kills the stream of a slow reader."""
    muxed = stream.muxed_stream
    while muxed.send_window < size and not muxed.closed:  # noqa: ASYNC110 - yamux sets no event
        await trio.sleep(_WINDOW_POLL_S)
