"""Submitting transactions until each is settled, whatever happens to single nodes."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from carbonnode.chain.service import EXPIRED, FINAL, REFUSED, UNKNOWN
from carbonnode.chain.signing import Signer
from carbonnode.chain.transaction import Transaction
from carbonnode.client.transport import NodeRefusal
from carbonnode.client.types import Submission, TransactionInfo
from carbonnode.errors import RemoteError

CHUNK = 500
WAIT_MS = 1_000
RETRY_S = 0.2
RETRYABLE = frozenset(("mempool-full", "quota", "busy", "overloaded", "not-ready", "disk-full"))
"""Codes with which trying again later helps: the sender did nothing wrong."""


class Submitter(Protocol):
    """The part of the client that settling needs."""

    async def submit_batch(self, transactions: Sequence[Transaction | bytes]) -> list[Submission]:
        """One answer each."""
        ...

    async def transactions(self, tx_ids: Sequence[str | bytes], *, wait_ms: int = 0, signer: Signer | None = None) -> list[TransactionInfo]:
        """One status each."""
        ...


class Settlement:
    """One run over a set of transactions. The same signed bytes are sent again where needed: they execute at most once."""

    def __init__(self, client: Submitter, rotate: Callable[[], None], transactions: Sequence[Transaction], signer: Signer | None) -> None:
        self._client = client
        self._rotate = rotate
        self._signer = signer
        self._order = [tx.id for tx in transactions]
        self._open = {tx.id: tx for tx in transactions}
        self._unsent = dict(self._open)
        self._refused: dict[bytes, Submission] = {}
        self._done: dict[bytes, TransactionInfo] = {}
        self._last_error = ""

    async def run(self, timeout_s: float) -> list[TransactionInfo]:
        """One result each, in order. Raises `RemoteError` (`timeout`)."""
        deadline = time.monotonic() + timeout_s
        while self._open:
            if time.monotonic() > deadline:
                why = f" ({self._last_error})" if self._last_error else ""
                raise RemoteError(
                    f"{len(self._open)} of {len(self._order)} transactions weren't settled within {timeout_s:g} s{why}: "
                    f"look them up later, the first is {next(iter(self._open)).hex()}",
                    code="timeout",
                )
            if not await self._round():
                await asyncio.sleep(RETRY_S)
        return [self._done[tx_id] for tx_id in self._order]

    async def _round(self) -> bool:
        """Send what is unsent, ask for what is open; whether the nodes took part."""
        try:
            held = await self._send()
            await self._ask()
        except NodeRefusal as error:
            if error.code not in RETRYABLE:
                raise
            self._last_error = str(error)
            self._rotate()
            return False
        except RemoteError as error:
            if error.code != "unreachable":
                raise
            self._last_error = str(error)
            return False
        return not held

    async def _send(self) -> bool:
        held = False
        waiting = list(self._unsent.values())
        for start in range(0, len(waiting), CHUNK):
            chunk = waiting[start : start + CHUNK]
            for transaction, answer in zip(chunk, await self._client.submit_batch(chunk), strict=True):
                if answer.status == REFUSED and answer.code in RETRYABLE:
                    held, self._last_error = True, answer.message
                    continue
                del self._unsent[transaction.id]
                if answer.status == REFUSED:
                    self._refused[transaction.id] = answer
        return held

    async def _ask(self) -> None:
        waiting = [tx_id for tx_id in self._open if tx_id not in self._unsent]
        for start in range(0, len(waiting), CHUNK):
            for found in await self._client.transactions(waiting[start : start + CHUNK], wait_ms=WAIT_MS, signer=self._signer):
                tx_id = bytes.fromhex(found.tx_id)
                if found.status in (FINAL, EXPIRED):
                    self._finish(found)
                elif found.status == UNKNOWN and tx_id in self._refused:
                    # Only now is it refused for good: sent again, a transaction that took effect earlier may be refused too.
                    refusal = self._refused[tx_id]
                    self._finish(TransactionInfo(tx_id=found.tx_id, status=REFUSED, code=refusal.code, message=refusal.message))
                elif found.status == UNKNOWN and tx_id in self._open:
                    self._unsent[tx_id] = self._open[tx_id]  # the node was restarted, or another one answers now

    def _finish(self, info: TransactionInfo) -> None:
        tx_id = bytes.fromhex(info.tx_id)
        self._done[tx_id] = info
        self._open.pop(tx_id, None)
        self._unsent.pop(tx_id, None)
