"""Fetching a snapshot from several peers at once: drives `snapshot_machine` over the network and the disk.

What was verified stays on disk, so an interrupted fetch goes on where it was. Checks and writes run in a thread, one after the other.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, Protocol, TypeAlias

from carbonnode.chain.genesis import Genesis
from carbonnode.errors import RemoteError
from carbonnode.ledger.snapshot import Verified
from carbonnode.node.snapshot_install import Installation
from carbonnode.node.snapshot_machine import Action, Ask, BlockIds, SnapshotMachine
from carbonnode.node.snapshot_store import FetchedSnapshot
from carbonnode.node.wire import RequestKind, SnapshotOffer
from carbonnode.storage.crashpoints import CrashPoints
from carbonnode.storage.space import SpaceGuard

BAD_POINTS: Final = 100

Request = Callable[[str, int, bytes, float], Awaitable[bytes]]


class FetchHost(Protocol):
    """What fetching needs of its node."""

    def sync_peers(self, height: int) -> list[str]:
        """Connected validators that may hold `height`."""
        ...

    def blame(self, peer: str, points: int, why: str) -> None:
        """Score a peer's fault."""
        ...


class _DiskStore:
    """`snapshot_machine.Store` in the directory of what comes in."""

    def __init__(self, installation: Installation, guard: SpaceGuard, crash: CrashPoints) -> None:
        self._incoming = installation.incoming
        self._guard = guard
        self._crash = crash
        self.fetched = FetchedSnapshot(self._incoming)
        """The one that was begun last."""

    def begun(self) -> list[str]:
        return [path.name for path in self._incoming.iterdir()] if self._incoming.is_dir() else []

    def begin(self, offer: SnapshotOffer, proof: bytes) -> None:
        self.fetched = FetchedSnapshot.begin(self._incoming, offer.height, offer.digest, proof)

    def missing(self, snapshot: Verified) -> list[int]:
        return self.fetched.missing(snapshot)

    def read(self, name: str) -> bytes:
        return self.fetched.read(name)

    def keep(self, name: str, data: bytes) -> None:
        self._guard.check(len(data))
        self.fetched.keep(name, data)
        self._crash.reach("fetch.chunk")

    def keep_ids(self, ids: BlockIds) -> None:
        self.fetched.keep_ids(ids)

    def ids(self) -> list[BlockIds]:
        return self.fetched.ids()


_Step: TypeAlias = Callable[[], list[Action]]


class SnapshotFetcher:
    """Gets one complete snapshot on disk."""

    def __init__(
        self, genesis: Genesis, installation: Installation, request: Request, host: FetchHost, guard: SpaceGuard, crash: CrashPoints | None = None
    ) -> None:
        self._genesis = genesis
        self._guard = guard
        self._installation = installation
        self._request = request
        self._host = host
        self._crash = crash or CrashPoints()
        self.resumed = 0
        """Chunks of the last fetch that lay on disk already."""
        self.sources: Counter[str] = Counter()
        """Chunks of the last fetch that came in, by peer."""
        self.ids_s = 0.0
        """How long the ids of the last blocks took in it."""

    async def fetch(self, above: int) -> tuple[FetchedSnapshot, Verified] | None:
        """The newest snapshot of a height above `above` that can be had whole; None if there is none. Raises `StorageError` if the disk refuses."""
        store = _DiskStore(self._installation, self._guard, self._crash)
        machine = SnapshotMachine(self._genesis, store)
        steps: asyncio.Queue[_Step] = asyncio.Queue()
        steps.put_nowait(partial(machine.begin, above))
        asking: set[asyncio.Task[None]] = set()
        loop = asyncio.get_running_loop()
        ids_from: float | None = None
        try:
            while not machine.finished:
                step = await steps.get()
                machine.peers = self._host.sync_peers(0)
                for action in await loop.run_in_executor(None, step):
                    if not isinstance(action, Ask):
                        self._host.blame(action.peer, BAD_POINTS, action.why)
                        continue
                    if action.kind == RequestKind.BLOCKS and ids_from is None:
                        ids_from = loop.time()
                    task = loop.create_task(self._put(machine, action, steps), name="snapshot request")
                    asking.add(task)
                    task.add_done_callback(asking.discard)
        finally:
            for task in list(asking):
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
            self.resumed, self.sources = machine.resumed, machine.sources
            self.ids_s = 0.0 if ids_from is None else loop.time() - ids_from
        return None if machine.found is None else (store.fetched, machine.found)

    async def _put(self, machine: SnapshotMachine, ask: Ask, steps: "asyncio.Queue[_Step]") -> None:
        """Put a question to its peer; what comes of it is the machine's next step."""
        try:
            answer = await self._request(ask.peer, ask.kind, ask.payload, ask.timeout_ms / 1000)
        except RemoteError as error:
            steps.put_nowait(partial(machine.failed, ask.number, timed_out=error.code == "timeout"))
        except Exception as error:  # noqa: BLE001 - raised again where the fetch waits
            steps.put_nowait(partial(_raise, error))
        else:
            steps.put_nowait(partial(machine.answered, ask.number, answer))


def _raise(error: Exception) -> list[Action]:
    raise error
