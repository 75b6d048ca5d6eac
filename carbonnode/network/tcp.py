"""A TCP connection as libp2p wants it, read ahead and without needless turns of trio's scheduler.

py-libp2p reads every noise message in two system calls (length, body) and asks the kernel for as many bytes as a peer announces; here one call
fetches up to 64 KB and the small reads are served from memory, which also bounds what garbage can make us allocate. trio's own send and receive
yield to the scheduler after every success; here only waiting yields, and every 32nd write.
"""

import os

import trio
from libp2p.io.abc import ReadWriteCloser
from libp2p.io.exceptions import ConnectionClosedError

READ_AHEAD = 64 * 1024
_YIELD_EVERY = 32


class BufferedTCP(ReadWriteCloser):  # type: ignore[misc]
    """One reader and one writer at a time, as everywhere in libp2p's stack. Raises `ConnectionClosedError` if the other side is gone already."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._buffer = b""
        self._at = 0
        self._writes = 0
        try:
            peer = stream.socket.getpeername()
        except OSError as error:  # it was connected a moment ago: the other side was killed meanwhile
            raise ConnectionClosedError(f"the connection was gone before it could be used: {error}", transport="tcp") from error
        self._remote = (str(peer[0]), int(peer[1]))

    async def read(self, n: int | None = None) -> bytes:
        """Up to `n` bytes, at least one; empty at the end of the stream."""
        buffer, at = self._buffer, self._at
        if at == len(buffer):
            if n == 0:
                return b""
            self._buffer, self._at = buffer, at = await self._receive(), 0
        stop = len(buffer) if n is None else min(len(buffer), at + n)
        self._at = stop
        return buffer[at:stop]

    async def _receive(self) -> bytes:
        socket = self._stream.socket
        while True:
            try:
                await trio.lowlevel.wait_readable(socket.fileno())
                return os.read(socket.fileno(), READ_AHEAD)
            except BlockingIOError:
                continue
            except trio.ClosedResourceError:
                return b""
            except OSError as error:
                if socket.fileno() < 0:
                    return b""
                raise ConnectionClosedError(f"TCP connection to {self._remote[0]} broke: {error}", transport="tcp") from error

    async def write(self, data: bytes) -> None:
        """All of `data`."""
        socket = self._stream.socket
        self._writes += 1
        if self._writes % _YIELD_EVERY == 0:
            await trio.lowlevel.checkpoint()
        try:
            sent = 0
            while True:
                try:
                    sent += os.write(socket.fileno(), data[sent:] if sent else data)
                except BlockingIOError:
                    await trio.lowlevel.wait_writable(socket.fileno())
                if sent == len(data):
                    return
        except (OSError, trio.ClosedResourceError) as error:
            raise ConnectionClosedError(f"TCP connection to {self._remote[0]} broke: {error}", transport="tcp") from error

    async def close(self) -> None:
        """Close the socket."""
        await self._stream.aclose()

    def abort(self) -> None:
        """Close the socket at once, also where waiting isn't possible any more."""
        self._stream.socket.close()

    def get_remote_address(self) -> tuple[str, int] | None:
        """(host, port) of the other side, known after it has gone, too."""
        return self._remote
