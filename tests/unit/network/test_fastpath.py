"""Taking a stream over from yamux loses no byte, at whatever moment it happens."""

from struct import Struct
from types import SimpleNamespace

import pytest
import trio
import trio.testing

from carbonnode.network.fastpath import FastPath

HEADER = Struct("!BBHII")
STREAM = 1


class Wire:
    """The socket's side: hands out what the test feeds, one noise message (here: unencrypted) a time."""

    def __init__(self) -> None:
        self.send, self.receive = trio.open_memory_channel[bytes](16)

    async def feed(self, data: bytes) -> None:
        await self.send.send(len(data).to_bytes(2, "big") + data)

    async def read(self) -> bytes:
        return await self.receive.receive()


def make(wire: Wire) -> tuple[FastPath, SimpleNamespace]:
    yamux = SimpleNamespace(stream_buffers={STREAM: bytearray()})
    session = SimpleNamespace(
        conn=SimpleNamespace(
            noise_state=SimpleNamespace(decrypt=bytes),
            read_writer=SimpleNamespace(read_write_closer=SimpleNamespace(stream=wire)),
        ),
        buf=SimpleNamespace(getbuffer=lambda: memoryview(b"")),
        low_watermark=0,
        high_watermark=0,
    )
    return FastPath(session, yamux), yamux


def frame(body: bytes) -> bytes:
    return HEADER.pack(0, 0, 0, STREAM, len(body)) + body


async def like_yamux(path: FastPath, yamux: SimpleNamespace, at_lock: trio.Event | None) -> None:
    """Yamux's reading loop: header, body, a lock, buffer."""
    while True:
        header = await path.read(HEADER.size)
        if not header:
            return
        length = HEADER.unpack(header)[4]
        body = b""
        while len(body) < length:
            body += await path.read(length - len(body))
        if at_lock is not None:
            await at_lock.wait()
        yamux.stream_buffers[STREAM].extend(body)


@pytest.mark.parametrize("moment", ["before the body is here", "while yamux waits for its lock", "after yamux buffered it"])
def test_no_byte_is_lost_when_a_stream_is_taken_over(moment: str) -> None:
    taken = bytearray()

    def sink(data: bytes) -> None:
        taken.extend(data)

    async def main() -> None:
        wire = Wire()
        path, yamux = make(wire)
        stream = SimpleNamespace(stream_id=STREAM, recv_window=1 << 20)
        at_lock = trio.Event() if moment == "while yamux waits for its lock" else None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(like_yamux, path, yamux, at_lock)
            first = frame(b"one and two")
            cut = len(first) - 5 if moment == "before the body is here" else len(first)
            await wire.feed(first[:cut])
            await trio.testing.wait_all_tasks_blocked()
            path.attach(stream, sink)
            if at_lock is not None:
                at_lock.set()
            await wire.feed(first[cut:] + frame(b" and three"))
            await wire.feed(frame(b" and four"))
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()

    trio.run(main)
    assert taken == b"one and two and three and four"
