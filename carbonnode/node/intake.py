"""Consensus frames from the links to the replica: decoded, signatures verified, in the order of arrival.

A few messages are verified at once where they arrive; a pile of them (many validators, or a burst after a pause) goes to the threads, and what
comes meanwhile queues behind it, so that no message overtakes another. Each peer has room of its own in that queue: one that floods loses its own messages,
and nobody else's.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Executor

from carbonnode.chain.signing import verify
from carbonnode.chain.validators import ValidatorSet
from carbonnode.consensus.messages import SIGNED_TYPES, Message, decode_message, verify_signed
from carbonnode.errors import PeerViolation
from carbonnode.node.workers import start_worker

INLINE_MESSAGES = 12
CHUNK = 128
MOST_OF_A_PEER = 2_000
"""Messages of one peer that may wait: more than an honest one has to say after any pause, and checked within a fraction of the shortest time-out."""
BYTES_OF_A_PEER = 32 * 1024 * 1024
BAD_MESSAGE_POINTS = 20
BAD_SIGNATURE_POINTS = 50

Deliver = Callable[[str, Message], None]
Blame = Callable[[str, int, str], None]


class Intake:
    """`validators_of(epoch)` gives the set that signs an epoch's messages, None for epochs whose messages are dropped and counted."""

    def __init__(self, chain_id: bytes, validators_of: Callable[[int], ValidatorSet | None], threads: Executor, deliver: Deliver, blame: Blame) -> None:
        self._chain_id = chain_id
        self._validators_of = validators_of
        self._threads = threads
        self._deliver = deliver
        self._blame = blame
        self._waiting: deque[tuple[str, Message, int]] = deque()
        self._messages_of: Counter[str] = Counter()
        self._bytes_of: Counter[str] = Counter()
        self._task: asyncio.Task[None] | None = None
        self._stopped = False
        self.received = 0
        self.foreign_epoch: Counter[str] = Counter()
        """Messages of epochs that aren't ours, by peer: a validator that lags sends them too, so they are counted and no fault."""
        self.dropped: Counter[str] = Counter()
        """Messages that found no room, by peer."""

    def take(self, peer: str, frames: list[bytes]) -> None:
        """Frames of one read from a validator's link."""
        malformed: list[PeerViolation] = []
        for frame in () if self._stopped else frames:
            try:
                message = decode_message(frame)
            except PeerViolation as error:
                malformed.append(error)
                continue
            self.received += 1
            if self._messages_of[peer] >= MOST_OF_A_PEER or self._bytes_of[peer] >= BYTES_OF_A_PEER:
                self.dropped[peer] += 1
                continue
            self._messages_of[peer] += 1
            self._bytes_of[peer] += len(frame)
            self._waiting.append((peer, message, len(frame)))
        if malformed:  # once a read, or a flood of garbage would be one of log lines
            self._blame(peer, BAD_MESSAGE_POINTS * len(malformed), f"{len(malformed)} messages are malformed, the first: {malformed[0]}")
        if self._task is not None and not self._task.done():
            return
        if len(self._waiting) <= INLINE_MESSAGES:
            self._drain_inline()
        else:
            self._task = start_worker(self._drain(), "intake")

    def _next(self) -> tuple[str, Message]:
        peer, message, size = self._waiting.popleft()
        self._messages_of[peer] -= 1
        self._bytes_of[peer] -= size
        return peer, message

    def _drain_inline(self) -> None:
        while self._waiting:
            peer, message = self._next()
            if not isinstance(message, SIGNED_TYPES):
                self._deliver(peer, message)
                continue
            validators = self._validators_of(message.epoch)
            if validators is None:
                self.foreign_epoch[peer] += 1
                continue
            self._pass_on(peer, message, verify_signed(message, validators, self._chain_id, verify))

    async def _drain(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            part = [self._next() for _ in range(min(CHUNK, len(self._waiting)))]
            jobs = [(message, self._validators_of(message.epoch) if isinstance(message, SIGNED_TYPES) else None) for _, message in part]
            verdicts = await loop.run_in_executor(self._threads, _verify_all, jobs, self._chain_id)
            for (peer, message), verdict in zip(part, verdicts, strict=True):
                if verdict is None:
                    self.foreign_epoch[peer] += 1
                else:
                    self._pass_on(peer, message, verdict)

    def _pass_on(self, peer: str, message: Message, good: bool) -> None:
        if good:
            self._deliver(peer, message)
        else:
            self._blame(peer, BAD_SIGNATURE_POINTS, f"the signature of a {type(message).__name__} doesn't verify")

    async def stop(self) -> None:
        """Drop what waits and what still comes."""
        self._stopped = True
        self._waiting.clear()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)  # why it died was told when it did


def _verify_all(jobs: list[tuple[Message, ValidatorSet | None]], chain_id: bytes) -> list[bool | None]:
    """True or False by the signature; None for a signed message of an epoch that isn't ours."""
    verdicts: list[bool | None] = []
    for message, validators in jobs:
        if not isinstance(message, SIGNED_TYPES):
            verdicts.append(True)
        else:
            verdicts.append(None if validators is None else verify_signed(message, validators, chain_id, verify))
    return verdicts
