"""One authenticated link under trio: a lane per stream, and the heartbeat."""

import math
from collections.abc import Awaitable, Callable
from struct import Struct

import trio
from libp2p.exceptions import BaseLibp2pError
from libp2p.network.stream.net_stream import NetStream

from carbonnode.errors import PeerViolation
from carbonnode.network.config import NetworkConfig
from carbonnode.network.handshake import MAX_REFUSAL_BYTES, read_refusal
from carbonnode.network.lane import Lane, StalledError
from carbonnode.network.peer import CloseReason
from carbonnode.network.requests import FAILURE_BYTES, REQUEST_OVERHEAD, RESPONSE_OVERHEAD, well_formed
from carbonnode.network.shared import Bridge, LinkHandle, StreamId
from carbonnode.network.switchboard import Switchboard
from carbonnode.network.wire import PING_BYTES, Frame, FrameKind, FrameParser

_RTT_WEIGHT = 0.3
_PING = Struct("!d")
_PINGS_KEPT = 256
"""Unanswered heartbeats remembered; a link with that many has been silent for minutes."""


def stream_caps(config: NetworkConfig) -> tuple[dict[int, int], ...]:
    """Frames admitted on each stream of a proven link."""
    limits = config.limits
    return (
        {FrameKind.DATA: limits.max_frame_bytes, FrameKind.PING: PING_BYTES, FrameKind.PONG: PING_BYTES, FrameKind.REFUSED: MAX_REFUSAL_BYTES},
        {FrameKind.DATA: limits.max_frame_bytes, FrameKind.PING: PING_BYTES},
        {
            FrameKind.PING: PING_BYTES,
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
        self._config = board.config
        self._board = board
        self._bridge = bridge
        self._reception = board.reception
        caps = stream_caps(board.config)
        parser.caps = caps[StreamId.CONSENSUS]
        parsers = (parser, FrameParser(caps[StreamId.BULK]), FrameParser(caps[StreamId.SYNC]))
        takers = (self._take_consensus, self._take_bulk, self._take_sync)
        self._lanes = tuple(
            Lane(
                number,
                streams[number],
                parsers[number],
                handle,
                config=board.config,
                counters=board.counters,
                take=takers[number],
                violated=self._violated,
                wake_later=bridge.to_trio,
            )
            for number in StreamId
        )
        self._pings: dict[bytes, float] = {}
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
        for lane, outbox in zip(self._lanes, self.handle.outboxes, strict=True):
            if outbox.waiting_bytes:
                lane.wake()

    async def run(self, *first: Frame) -> None:
        """Serve the link until it ends, sending `first` before everything else; `reason` says why it ended."""
        for kind, payload in first:
            self._lanes[StreamId.CONSENSUS].send_first(kind, payload)
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    for lane in self._lanes:
                        lane.start()
                        nursery.start_soon(self._guard, lane.write_loop)
                        nursery.start_soon(self._guard, lane.watch)
                    nursery.start_soon(self._heartbeat)
        finally:
            self.close(CloseReason.STOPPED)
            self._board.remove(self, self._reason)

    async def _guard(self, task: Callable[[], Awaitable[None]]) -> None:
        try:
            await task()
        except StalledError:
            self.close(CloseReason.STALLED)
        except BaseLibp2pError:
            self.close(CloseReason.CLOSED)

    def _violated(self, violation: PeerViolation) -> None:
        self.close(CloseReason.VIOLATION)
        self._board.violated(self, violation)

    # -- frames ------------------------------------------------------------------------------------------------------------------------------

    def _take_consensus(self, frames: list[Frame]) -> None:
        data: list[bytes] = []
        for kind, payload in frames:
            if kind == FrameKind.DATA:
                data.append(payload)
            elif kind == FrameKind.REFUSED:
                self._refused(payload)
            elif kind == FrameKind.PING:
                self._lanes[StreamId.CONSENSUS].send_first(FrameKind.PONG, payload)
            else:
                self._take_pong(payload)
        if data:
            self._deliver(StreamId.CONSENSUS, data)

    def _refused(self, payload: bytes) -> None:
        """The dialling side may find only after our WELCOME that it keeps another link, or is stopping: that is no fault."""
        self._board.refused_by_peer(self.handle.remote, read_refusal(payload))
        self.close(CloseReason.REFUSED)

    def _take_bulk(self, frames: list[Frame]) -> None:
        data = [payload for kind, payload in frames if kind == FrameKind.DATA]
        if data:
            self._deliver(StreamId.BULK, data)

    def _take_sync(self, frames: list[Frame]) -> None:
        frames = [frame for frame in frames if frame[0] != FrameKind.PING]
        if not all(well_formed(kind, payload) for kind, payload in frames):
            raise PeerViolation("a request or answer without a number", code="bad-frame")
        if not frames:
            return
        size = sum(len(payload) for _, payload in frames)
        self.handle.received[StreamId.SYNC] += size
        self._bridge.to_loop(self._reception.sync_frames, self.handle, frames, size)

    def _deliver(self, stream: StreamId, payloads: list[bytes]) -> None:
        size = sum(map(len, payloads))
        self.handle.received[stream] += size
        self._bridge.to_loop(self._reception.frames, self.handle, stream, payloads, size)

    # -- heartbeat ---------------------------------------------------------------------------------------------------------------------------

    async def _heartbeat(self) -> None:
        interval, dead_after = self._config.heartbeat_ms / 1000, self._config.dead_after_ms / 1000
        most_missed = math.ceil(dead_after / interval)
        awake_since = trio.current_time()
        while True:
            before = trio.current_time()
            self._ping(before)
            await trio.sleep(interval)
            now = trio.current_time()
            if now - before > 2 * interval + 0.5:
                awake_since = now  # this process itself was paused: what the peer sent meanwhile still waits to be read
            silent = now - max(awake_since, *(lane.heard for lane in self._lanes))
            if silent > 1.5 * interval:
                self._board.counters.heartbeats_missed += 1
            if silent > dead_after:
                self.close(CloseReason.SILENT)
            beats = max(lane.beats for lane in self._lanes)
            since = now - dead_after
            if awake_since <= since and any(lane.is_deaf(beats, most_missed, since) for lane in self._lanes):
                self.close(CloseReason.DEAF)

    def _ping(self, now: float) -> None:
        payload = _PING.pack(now)
        self._pings[payload] = now
        if len(self._pings) > _PINGS_KEPT:
            del self._pings[next(iter(self._pings))]
        for lane in self._lanes:
            lane.send_first(FrameKind.PING, payload)

    def _take_pong(self, payload: bytes) -> None:
        """An answer may be minutes late: either side may have been stopped meanwhile, and that is nobody's fault."""
        sent = self._pings.pop(payload, None)
        if sent is None:
            raise PeerViolation("a heartbeat answer that was never asked for", code="bad-frame")
        rtt_ms = (trio.current_time() - sent) * 1000
        old = self.handle.rtt_ms
        self.handle.rtt_ms = rtt_ms if old < 0 else old + _RTT_WEIGHT * (rtt_ms - old)
