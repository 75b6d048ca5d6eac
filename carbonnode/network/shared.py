"""What both threads touch: the queues of one link, and the bridge that wakes the other side once per batch.

No lock is needed: deques are atomic at both ends, each integer has one writer, and a wake-up flag is cleared before its queue is drained, so
that an item is either drained now or announces itself again.
"""

from asyncio import AbstractEventLoop
from collections import deque
from collections.abc import Callable
from enum import IntEnum

from carbonnode.network.peer import PeerIdentity
from carbonnode.network.wire import HEADER_BYTES, Frame

Job = tuple[Callable[..., None], tuple[object, ...]]


class StreamId(IntEnum):
    """The streams of a link; the first two carry the public channels of the same numbers."""

    CONSENSUS = 0
    BULK = 1
    SYNC = 2


class Outbox:
    """Frames that wait for one stream's writer. The daemon's thread puts, the network's thread takes."""

    __slots__ = ("_frames", "_put_bytes", "_taken_bytes")

    def __init__(self) -> None:
        self._frames: deque[Frame] = deque()
        self._put_bytes = 0
        self._taken_bytes = 0

    @property
    def waiting_bytes(self) -> int:
        """Bytes put and not yet taken."""
        return self._put_bytes - self._taken_bytes

    def put(self, kind: int, payload: bytes) -> None:
        """Append a frame."""
        self._put_bytes += len(payload) + HEADER_BYTES
        self._frames.append((kind, payload))

    def take(self, most: int) -> list[Frame]:
        """The oldest frames, at least one if any waits, until `most` bytes are reached."""
        taken: list[Frame] = []
        size = 0
        frames = self._frames
        while frames and size < most:
            frame = frames.popleft()
            size += len(frame[1]) + HEADER_BYTES
            taken.append(frame)
        self._taken_bytes += size
        return taken


class LinkHandle:
    """One live link as both threads see it."""

    __slots__ = (
        "bytes_in", "bytes_out", "frames_in", "frames_out", "identity", "outbound", "outboxes", "received", "remote", "resumes", "rtt_ms", "since_ms",
        "successor", "taken", "wake",
    )  # fmt: skip

    def __init__(self, identity: PeerIdentity, remote: str, outbound: bool, since_ms: int, wake: Callable[[], None]) -> None:
        self.identity = identity
        self.remote = remote
        self.outbound = outbound
        self.since_ms = since_ms
        self.wake = wake
        """Runs in the network's thread: frames wait in an outbox."""
        self.successor: LinkHandle | None = None
        """The link that took over this one's place and outboxes; set by the network's thread, maybe before the daemon has heard of it."""
        self.outboxes = tuple(Outbox() for _ in StreamId)
        self.rtt_ms = -1.0
        self.frames_in = 0
        self.frames_out = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self.received = [0 for _ in StreamId]
        """Bytes handed to the daemon, per stream; written by the network's thread."""
        self.taken = [0 for _ in StreamId]
        """Bytes the daemon has worked off, per stream; written by the daemon's thread."""
        self.resumes: list[Callable[[], None] | None] = [None for _ in StreamId]
        """Set while a stream's reader pauses because too much is unread; called on the loop's thread."""

    def rouse(self) -> None:
        """In the network's thread: frames wait in an outbox, which another link may have taken over meanwhile."""
        handle = self
        while handle.successor is not None:
            handle = handle.successor
        handle.wake()


class Bridge:
    """Moves jobs between the daemon's asyncio loop and the network's trio thread, with one wake-up per batch."""

    def __init__(self, loop: AbstractEventLoop, on_loop_error: Callable[[Exception], None]) -> None:
        self._loop = loop
        self._on_loop_error = on_loop_error
        self._run_in_trio: Callable[[Callable[[], None]], None] | None = None
        self._to_trio: deque[Job] = deque()
        self._to_loop: deque[Job] = deque()
        self._trio_called = False
        self._loop_called = False
        self.deliveries = 0

    def attach(self, run_in_trio: Callable[[Callable[[], None]], None]) -> None:
        """Called in the trio thread once it runs; jobs queued before are carried out now."""
        self._run_in_trio = run_in_trio
        self._call_trio()

    def detach(self) -> None:
        """Called in the trio thread as it ends: later jobs for it are dropped, there is nobody left to do them."""
        self._run_in_trio = None

    def to_trio(self, job: Callable[..., None], *arguments: object) -> None:
        """Run `job(*arguments)` in the trio thread, in order. From the loop's thread."""
        self._to_trio.append((job, arguments))
        if not self._trio_called:
            self._call_trio()

    def to_loop(self, job: Callable[..., None], *arguments: object) -> None:
        """Run `job(*arguments)` on the loop, in order. From the trio thread; dropped when the loop is closed."""
        self._to_loop.append((job, arguments))
        if not self._loop_called and not self._loop.is_closed():
            self._loop_called = True
            self._loop.call_soon_threadsafe(self._drain_on_loop)

    def _call_trio(self) -> None:
        run = self._run_in_trio
        if run is not None:
            self._trio_called = True
            run(self._drain_in_trio)

    def _drain_in_trio(self) -> None:
        self._trio_called = False
        jobs = self._to_trio
        while jobs:
            job, arguments = jobs.popleft()
            job(*arguments)

    def _drain_on_loop(self) -> None:
        self._loop_called = False
        self.deliveries += 1
        jobs = self._to_loop
        while jobs:
            job, arguments = jobs.popleft()
            try:
                job(*arguments)
            except Exception as error:  # noqa: BLE001 - a fault in one handler call mustn't lose the jobs behind it
                self._on_loop_error(error)
