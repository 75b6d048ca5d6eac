"""The way of a data frame once a link is proven: past py-libp2p's stream machinery, within its connection and wire format.

py-libp2p spends four task switches, a dozen locks and two log lines on a small frame, and a window update, encrypted and written on its own, on
every read. `FastPath` stands between yamux and noise: data frames of a stream that has a `Sink` are handed over within the reading task, and
everything else (opening, closing, pings, streams still in negotiation) reaches yamux as before. Measured on four processes at 1,000
transactions/s, 250 bytes each and flooded to three peers, the network's CPU per transaction and node fell from 89 to 44 us at 25 ms of linger
and from 54 to 23 us at 50 ms.
"""

from collections.abc import Iterable
from struct import Struct
from typing import Protocol, SupportsIndex

import trio
from libp2p.io.exceptions import ConnectionClosedError
from libp2p.security.noise.io import MAX_PLAINTEXT_LENGTH
from libp2p.security.secure_session import SecureSession
from libp2p.stream_muxer.yamux.yamux import HEADER_SIZE, TYPE_DATA, TYPE_WINDOW_UPDATE, Yamux, YamuxStream

from carbonnode.network.tcp import BufferedTCP

WINDOW_BYTES = 1024 * 1024
"""Credit that a sink's stream has at most: bytes that a peer may send before we have taken earlier ones."""

_HEADER = Struct("!BBHII")
_LENGTH_BYTES = 2


class Sink(Protocol):
    """Takes the bytes of one stream."""

    def __call__(self, data: bytes) -> None:
        """Called in the reading task; never raises, never waits."""
        ...


class _PassingOn(bytearray):
    """A stream's buffer after its sink was attached, always empty: yamux may hold the body of a frame at that moment (it waits for the rest, or for
    a lock), and puts it in here before it reads on.
    """

    def __init__(self, sink: Sink) -> None:
        super().__init__()
        self._sink = sink

    def extend(self, data: Iterable[SupportsIndex]) -> None:
        """What yamux does with a body."""
        if data:
            self._sink(bytes(data))


class FastPath:
    """A noise session with sinks for some streams of the yamux connection above it; all else that is asked of it, the session answers."""

    def __init__(self, session: SecureSession, yamux: Yamux) -> None:
        self._session = session
        self._yamux = yamux
        self._noise = session.conn.noise_state
        self._tcp: BufferedTCP = session.conn.read_writer.read_write_closer.stream
        self._sinks: dict[int, tuple[Sink, YamuxStream]] = {}
        self._cipher = b""
        self._plain = bytes(session.buf.getbuffer()[session.low_watermark : session.high_watermark])
        self._at = 0
        self._body_left = 0
        self._writing = trio.Lock()

    def __getattr__(self, name: str) -> object:
        return getattr(self._session, name)

    # -- what yamux does with its connection ------------------------------------------------------------------------------------------------

    async def read(self, n: int) -> bytes:
        """Headers of frames that aren't for a sink, and their bodies."""
        while True:
            held = len(self._plain) - self._at
            if self._body_left:
                if held:
                    size = min(n, held, self._body_left)
                    self._body_left -= size
                    return self._take(size)
            elif self._deliver():
                return self._take(HEADER_SIZE)
            if not await self._more():
                return b""

    async def write(self, data: bytes) -> None:
        """Frames that aren't a sink's."""
        for at in range(0, len(data), MAX_PLAINTEXT_LENGTH):
            await self._write_message(data[at : at + MAX_PLAINTEXT_LENGTH])

    async def close(self) -> None:
        """Close the connection."""
        await self._session.close()

    def abort(self) -> None:
        """Close the socket at once."""
        self._tcp.abort()

    # -- sinks -------------------------------------------------------------------------------------------------------------------------------

    def attach(self, stream: YamuxStream, sink: Sink) -> None:
        """From now on the stream's bytes go to `sink`, those that yamux has buffered first."""
        self._sinks[stream.stream_id] = (sink, stream)
        buffered = bytes(self._yamux.stream_buffers.get(stream.stream_id, b""))
        self._yamux.stream_buffers[stream.stream_id] = _PassingOn(sink)
        if buffered:
            sink(buffered)

    async def send(self, stream: YamuxStream, data: bytes, credit: int) -> None:
        """One data frame (at most `stream.send_window` bytes), behind a window update for `credit` bytes if that isn't 0."""
        parts: list[bytes] = []
        if credit:
            stream.recv_window += credit
            parts.append(_HEADER.pack(0, TYPE_WINDOW_UPDATE, 0, stream.stream_id, credit))
        if data:
            stream.send_window -= len(data)
            parts.append(_HEADER.pack(0, TYPE_DATA, 0, stream.stream_id, len(data)))
            parts.append(data)
        await self._write_message(b"".join(parts))

    # -- inner -------------------------------------------------------------------------------------------------------------------------------

    def _deliver(self) -> bool:
        """Hand frames to their sinks; True when the next header is yamux's, False when more bytes are needed."""
        while len(self._plain) - self._at >= HEADER_SIZE:
            _, kind, flags, stream_id, length = _HEADER.unpack_from(self._plain, self._at)
            target = self._sinks.get(stream_id) if kind == TYPE_DATA and flags == 0 else None
            if target is None:
                self._body_left = length if kind == TYPE_DATA else 0
                return True
            sink, stream = target
            if length > stream.recv_window:
                raise ConnectionClosedError(f"the peer sent {length} bytes where its window has {stream.recv_window} left", transport="tcp")
            start = self._at + HEADER_SIZE
            if len(self._plain) < start + length:
                return False
            stream.recv_window -= length
            self._at = start + length
            sink(self._plain[start : self._at])
        return False

    def _take(self, n: int) -> bytes:
        self._at += n
        return self._plain[self._at - n : self._at]

    async def _more(self) -> bool:
        """Decrypt what arrives next; False at the end of the stream."""
        plain = [self._plain[self._at :]] if self._at < len(self._plain) else []
        self._plain, self._at = b"", 0
        before = len(plain)
        while len(plain) == before:
            data = await self._tcp.read()
            if not data:
                return False
            cipher = self._cipher + data if self._cipher else data
            at, end = 0, len(cipher)
            while end - at >= _LENGTH_BYTES:
                stop = at + _LENGTH_BYTES + (cipher[at] << 8 | cipher[at + 1])
                if stop > end:
                    break
                plain.append(self._noise.decrypt(cipher[at + _LENGTH_BYTES : stop]))
                at = stop
            self._cipher = cipher[at:]
        self._plain = plain[0] if len(plain) == 1 else b"".join(plain)
        return True

    async def _write_message(self, data: bytes) -> None:
        lock = self._writing
        try:
            lock.acquire_nowait()  # a free lock without a turn of the scheduler
        except trio.WouldBlock:
            await lock.acquire()
        try:
            message = self._noise.encrypt(data)
            await self._tcp.write(len(message).to_bytes(_LENGTH_BYTES, "big") + message)
        finally:
            lock.release()
