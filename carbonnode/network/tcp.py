"""A TCP connection as libp2p wants it, read ahead.

py-libp2p reads every noise message in two system calls (length, body) and asks the kernel for as many bytes as a peer announces; here one call
fetches up to 64 KB and the small reads are served from memory, which halves the cost of small frames and bounds what garbage can make us
allocate.
"""

import trio
from libp2p.io.abc import ReadWriteCloser
from libp2p.io.exceptions import ConnectionClosedError

READ_AHEAD = 64 * 1024


class BufferedTCP(ReadWriteCloser):  # type: ignore[misc]
    """One reader and one writer at a time, as everywhere in libp2p's stack."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._buffer = b""
        self._at = 0
        peer = stream.socket.getpeername()
        self._remote = (str(peer[0]), int(peer[1]))

    async def read(self, n: int | None = None) -> bytes:
        """Up to `n` bytes, at least one; empty at the end of the stream."""
        buffer, at = self._buffer, self._at
        if at == len(buffer):
            if n == 0:
                return b""
            try:
                buffer = await self.stream.receive_some(READ_AHEAD)
            except trio.BrokenResourceError as error:
                raise ConnectionClosedError(f"TCP connection to {self._remote[0]} broke: {error}", transport="tcp") from error
            except trio.ClosedResourceError:
                return b""
            self._buffer, at = buffer, 0
        stop = len(buffer) if n is None else min(len(buffer), at + n)
        self._at = stop
        return buffer[at:stop]

    async def write(self, data: bytes) -> None:
        """All of `data`."""
        try:
            await self.stream.send_all(data)
        except trio.BrokenResourceError as error:
            raise ConnectionClosedError(f"TCP connection to {self._remote[0]} broke: {error}", transport="tcp") from error
        except trio.ClosedResourceError as error:
            raise ConnectionClosedError("this side has closed the TCP connection", transport="tcp") from error

    async def close(self) -> None:
        """Close the socket."""
        await self.stream.aclose()

    def get_remote_address(self) -> tuple[str, int] | None:
        """(host, port) of the other side, known after it has gone, too."""
        return self._remote
