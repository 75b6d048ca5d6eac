"""Consensus frames from the links to the replica: decoded, signatures verified, in the order of arrival.

A few messages are verified at once where they arrive; a pile of them (many validators, or a burst after a pause) goes to the threads, and what
comes meanwhile queues behind it, so that no message overtakes another.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor

from carbonnode.chain.signing import verify
from carbonnode.chain.validators import ValidatorSet
from carbonnode.consensus.messages import SIGNED_TYPES, Message, decode_message, verify_signed
from carbonnode.errors import PeerViolation

INLINE_MESSAGES = 12
MAX_WAITING = 20_000
BAD_MESSAGE_POINTS = 20
BAD_SIGNATURE_POINTS = 50

Deliver = Callable[[str, Message], None]
Blame = Callable[[str, int, str], None]


class Intake:
    """`current()` gives (epoch, validators) at the time of verification; messages of other epochs are dropped and counted."""

    def __init__(self, chain_id: bytes, current: Callable[[], tuple[int, ValidatorSet]], threads: Executor, deliver: Deliver, blame: Blame) -> None:
        self._chain_id = chain_id
        self._current = current
        self._threads = threads
        self._deliver = deliver
        self._blame = blame
        self._waiting: deque[tuple[str, Message]] = deque()
        self._task: asyncio.Task[None] | None = None
        self.received = 0
        self.foreign_epoch = 0
        self.dropped = 0

    def take(self, peer: str, frames: list[bytes]) -> None:
        """Frames of one read from a validator's link."""
        for frame in frames:
            try:
                message = decode_message(frame)
            except PeerViolation as error:
                self._blame(peer, BAD_MESSAGE_POINTS, str(error))
                return
            self.received += 1
            if len(self._waiting) >= MAX_WAITING:
                self.dropped += 1
                continue
            self._waiting.append((peer, message))
        if self._task is not None and not self._task.done():
            return
        if len(self._waiting) <= INLINE_MESSAGES:
            self._drain_inline()
        else:
            self._task = asyncio.get_running_loop().create_task(self._drain(), name="intake")

    def _drain_inline(self) -> None:
        waiting = self._waiting
        while waiting:
            peer, message = waiting.popleft()
            epoch, validators = self._current()
            if self._foreign(message, epoch):
                continue
            self._pass_on(peer, message, verify_signed(message, validators, self._chain_id, verify))

    async def _drain(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            epoch, validators = self._current()
            part = [self._waiting.popleft() for _ in range(min(128, len(self._waiting)))]
            part = [(peer, message) for peer, message in part if not self._foreign(message, epoch)]
            verdicts = await loop.run_in_executor(self._threads, _verify_all, [message for _, message in part], validators, self._chain_id)
            for (peer, message), good in zip(part, verdicts, strict=True):
                if not self._foreign(message, self._current()[0]):
                    self._pass_on(peer, message, good)

    def _foreign(self, message: Message, epoch: int) -> bool:
        if isinstance(message, SIGNED_TYPES) and message.epoch != epoch:
            self.foreign_epoch += 1
            return True
        return False

    def _pass_on(self, peer: str, message: Message, good: bool) -> None:
        if good:
            self._deliver(peer, message)
        else:
            self._blame(peer, BAD_SIGNATURE_POINTS, f"the signature of a {type(message).__name__} doesn't verify")

    async def stop(self) -> None:
        """Drop what waits."""
        self._waiting.clear()
        if self._task is not None:
            await self._task


def _verify_all(messages: list[Message], validators: ValidatorSet, chain_id: bytes) -> list[bool]:
    return [verify_signed(message, validators, chain_id, verify) for message in messages]
