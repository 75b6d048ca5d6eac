"""The asynchronous client of a node."""

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from types import TracebackType
from typing import Self

import httpx
import msgspec

from carbonnode.chain.genesis import Genesis, value_to_json
from carbonnode.chain.proof import VerifiedTransaction, parse_proof, verify_proof
from carbonnode.chain.request import Credentials, estimate_bytes, read_bytes, sign_request, view_bytes
from carbonnode.chain.service import ContractAbi
from carbonnode.chain.signing import Signer
from carbonnode.chain.transaction import NONCE_BYTES, Body, Call, Transaction
from carbonnode.chain.values import Value
from carbonnode.client.events import follow
from carbonnode.client.gas import DEFAULT_GAS, ESTIMATE_PATIENCE_S, EstimateInfo, GasChoice, choice_of, estimate_body
from carbonnode.client.settle import Settlement
from carbonnode.client.transport import JSON, MSGPACK, Transport, decode
from carbonnode.client.types import (
    AbiInfo,
    BlockInfo,
    ContractsInfo,
    EventInfo,
    NodeInfo,
    QueryAnswer,
    Submission,
    Submissions,
    TransactionInfo,
    Transactions,
    VotingSetInfo,
)
from carbonnode.errors import ConfigError, RemoteError

DEFAULT_TIMEOUT_S = 30.0
HEIGHT_CACHE_S = 1.0


def _clock_ms() -> int:
    return time.time_ns() // 1_000_000


class Client:
    """Talks to a node, or to the first of several of one network that answers.

    `signer` signs transactions and private queries (each method takes another one where given); `chain_id` pins the chain: without it the node
    is believed. Close it, or use it as an async context manager.
    """

    def __init__(
        self,
        url: str | Sequence[str],
        *,
        signer: Signer | None = None,
        chain_id: bytes | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        clock_ms: Callable[[], int] = _clock_ms,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._transport = Transport([url] if isinstance(url, str) else url, timeout_s=timeout_s, transport=transport)
        self._signer = signer
        self._pinned = chain_id
        self._status: tuple[float, NodeInfo] | None = None
        self._clock_ms = clock_ms
        self._last_ms = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    @property
    def url(self) -> str:
        """The node that is asked first."""
        return self._transport.url

    # The node and its chain

    async def status(self) -> NodeInfo:
        """The node at a glance. Raises `RemoteError` (`chain`) if it serves another chain than the pinned one."""
        status = await self._transport.get("/v1/status", NodeInfo)
        if self._pinned is not None and status.chain_id != self._pinned.hex():
            raise RemoteError(f"{self.url} serves the chain {status.chain_id[:16]}, not {self._pinned.hex()[:16]}: ask a node of your network", code="chain")
        self._status = (time.monotonic(), status)
        return status

    async def _recent_status(self) -> NodeInfo:
        if self._status is not None and time.monotonic() - self._status[0] < HEIGHT_CACHE_S:
            return self._status[1]
        return await self.status()

    async def chain_id(self) -> bytes:
        """32 bytes: the pinned one, or the node's."""
        if self._pinned is None:
            self._pinned = bytes.fromhex((await self.status()).chain_id)
        return self._pinned

    async def block(self, height: int) -> BlockInfo:
        """A certified block."""
        return await self._transport.get(f"/v1/blocks/{height}", BlockInfo)

    async def blocks(self, first: int, count: int = 100) -> list[BlockInfo]:
        """Up to 100 certified blocks from `first` upwards."""
        return await self._transport.get("/v1/blocks", list[BlockInfo], params={"first": first, "count": count})

    async def validators(self) -> VotingSetInfo:
        """Who votes now, and next."""
        return await self._transport.get("/v1/validators", VotingSetInfo)

    async def contracts(self) -> list[str]:
        """Names of the installed contracts."""
        return (await self._transport.get("/v1/contracts", ContractsInfo)).contracts

    async def abi(self, contract: str) -> ContractAbi:
        """A contract's interface."""
        return (await self._transport.get(f"/v1/contracts/{contract}", AbiInfo)).abi

    async def metrics(self) -> str:
        """Prometheus text."""
        return (await self._transport.fetch("GET", "/metrics")).decode()

    # Transactions

    async def estimate(self, calls: Sequence[Call], *, signer: Signer | None = None) -> EstimateInfo:
        """A dry run of the signer's calls on the last certified state: whether they would take effect, and the gas to declare. Raises `RemoteError`."""
        by = self._signer_or(signer)
        now = self._next_ms()
        message = estimate_bytes(await self.chain_id(), by.public_key, now, calls)
        headers = {"authorization": _authorization(sign_request(by, message, now))}
        return await self._transport.post("/v1/transactions/estimate", estimate_body(tuple(calls)), EstimateInfo, headers)

    async def gas_for(self, calls: Sequence[Call], *, default: int = DEFAULT_GAS, signer: Signer | None = None) -> GasChoice:
        """The gas limit to declare for calls: by a dry run, or `default` where none can be made in time or the calls would fail."""
        try:
            async with asyncio.timeout(ESTIMATE_PATIENCE_S):
                return choice_of(await self.estimate(calls, signer=signer), default)
        except RemoteError as error:
            return GasChoice(default, "default", why=str(error))
        except TimeoutError:
            return GasChoice(default, "default", why=f"{self.url} made no dry run within {ESTIMATE_PATIENCE_S:g} s")

    async def sign(
        self, calls: Sequence[Call], *, gas: int | None = None, signer: Signer | None = None, valid_for: int | None = None
    ) -> Transaction:
        """A signed transaction of 1 to 64 atomic calls, valid for `valid_for` blocks (half the network's limit by default).

        `gas` is the limit to declare; without it the node is asked (`gas_for`), which takes a dry run: give it where many alike are signed.
        """
        by = self._signer_or(signer)
        chain_id = await self.chain_id()
        status = await self._recent_status()
        # Half: a node that lags a little must still accept the height.
        valid_until = status.height + (valid_for if valid_for is not None else max(status.validity_blocks // 2, 1))
        limit = min((await self.gas_for(calls, signer=by)).limit if gas is None else gas, status.max_transaction_gas)
        return Transaction.sign(Body(chain_id, by.public_key, secrets.token_bytes(NONCE_BYTES), valid_until, limit, tuple(calls)), by)

    async def submit(self, transaction: Transaction | bytes) -> Submission:
        """Submit one. Raises `NodeRefusal` with the code of the refusal."""
        raw = transaction if isinstance(transaction, bytes) else transaction.raw
        return await self._transport.post_packed("/v1/transactions", raw, Submission)

    async def submit_batch(self, transactions: Sequence[Transaction | bytes]) -> list[Submission]:
        """Submit up to 2,000; one answer each, refusals included."""
        raws = [tx if isinstance(tx, bytes) else tx.raw for tx in transactions]
        return (await self._transport.post_packed("/v1/transactions/batch", msgspec.msgpack.encode(raws), Submissions)).results

    async def transaction(self, tx_id: str | bytes, *, wait_ms: int = 0, signer: Signer | None = None) -> TransactionInfo:
        """Where a transaction stands, after waiting at most `wait_ms` for it to settle."""
        (found,) = await self.transactions([tx_id], wait_ms=wait_ms, signer=signer)
        return found

    async def transactions(self, tx_ids: Sequence[str | bytes], *, wait_ms: int = 0, signer: Signer | None = None) -> list[TransactionInfo]:
        """Where up to 2,000 transactions stand, after waiting at most `wait_ms` for all to settle. Signed, it shows the signer's own events."""
        raw = [tx_id if isinstance(tx_id, bytes) else bytes.fromhex(tx_id) for tx_id in tx_ids]
        by = signer or self._signer
        headers = {"content-type": JSON, "accept": MSGPACK}
        if by is not None:
            now = self._next_ms()
            headers["authorization"] = _authorization(sign_request(by, read_bytes(await self.chain_id(), by.public_key, now, raw), now))
        body = msgspec.json.encode({"tx_ids": [item.hex() for item in raw], "wait_ms": wait_ms})
        data = await self._transport.fetch("POST", "/v1/transactions/status", content=body, headers=headers, extra_wait_s=wait_ms / 1000)
        return decode(data, Transactions, packed=True).transactions

    async def settle(
        self, transactions: Sequence[Transaction], *, timeout_s: float = DEFAULT_TIMEOUT_S, signer: Signer | None = None
    ) -> list[TransactionInfo]:
        """Submit and wait until each is final, expired or refused; submits again what a node forgot, and to another node where one fails.

        Raises `RemoteError` (`timeout`) if some aren't settled in time; they may still become final until their valid-until height.
        """
        return await Settlement(self, self._transport.rotate, transactions, signer).run(timeout_s)

    async def call(
        self, contract: str, method: str, *args: Value, gas: int | None = None, signer: Signer | None = None, timeout_s: float = DEFAULT_TIMEOUT_S
    ) -> TransactionInfo:
        """Sign one call (`gas` as in `sign`), submit it, wait until it is settled."""
        transaction = await self.sign([Call(contract, method, args)], gas=gas, signer=signer)
        (done,) = await self.settle([transaction], timeout_s=timeout_s, signer=signer)
        return done

    # Reading

    async def query(
        self, contract: str, view: str, *args: Value, height: int | None = None, signer: Signer | None = None, signed: bool | None = None
    ) -> QueryAnswer:
        """Run a view at a certified height; signed by default where there is a signer. An abort is an answer: see its `code`."""
        by = None if signed is False else (signer or self._signer)
        if signed and by is None:
            raise ConfigError("a signed query needs a signer: name a wallet")
        headers = {}
        if by is not None:
            now = self._next_ms()
            message = view_bytes(await self.chain_id(), by.public_key, now, contract, view, args, height)
            headers["authorization"] = _authorization(sign_request(by, message, now))
        body = {"args": [value_to_json(arg) for arg in args], "height": height}
        return await self._transport.post(f"/v1/contracts/{contract}/{view}", body, QueryAnswer, headers)

    async def proof(self, tx_id: str | bytes) -> bytes:
        """The proof file of a final transaction."""
        return await self._transport.fetch("GET", f"/v1/transactions/{tx_id.hex() if isinstance(tx_id, bytes) else tx_id}/proof")

    async def verified(self, tx_id: str | bytes, genesis: Genesis) -> VerifiedTransaction:
        """Fetch a transaction's proof and check every link of it here. Raises `InvalidBlock`."""
        return verify_proof(parse_proof(await self.proof(tx_id)), genesis)

    async def event_page(self, first: int, count: int = 100) -> list[EventInfo]:
        """Certified public events of the heights `first` to `first + count - 1`."""
        return await self._transport.get("/v1/events/page", list[EventInfo], params={"first": first, "count": count})

    async def events(self, *, first_height: int | None = None, signer: Signer | None = None, private: bool = False) -> AsyncGenerator[EventInfo, None]:
        """Certified events as they come; with `private` also those addressed to the signer's entity. Raises `RemoteError` when the link ends."""
        by = self._signer_or(signer) if private else None
        chain_id = await self.chain_id() if private else b""
        async for event in follow(self.url, first_height=first_height, signer=by, chain_id=chain_id, time_ms=self._next_ms()):
            yield event

    async def wait_for_height(self, height: int, *, timeout_s: float = DEFAULT_TIMEOUT_S, poll_s: float = 0.1) -> NodeInfo:
        """The first status whose certified height reaches `height`. Raises `RemoteError` (`timeout`)."""
        try:
            async with asyncio.timeout(timeout_s):
                while (status := await self.status()).height < height:
                    await asyncio.sleep(poll_s)
        except TimeoutError:
            raise RemoteError(f"{self.url} didn't reach height {height} within {timeout_s:g} s", code="timeout") from None
        return status

    def _signer_or(self, signer: Signer | None) -> Signer:
        by = signer or self._signer
        if by is None:
            raise ConfigError("this needs a signer: name a wallet")
        return by

    def _next_ms(self) -> int:
        # Strictly increasing, so that asking the same twice within a millisecond isn't taken for a replay.
        self._last_ms = max(self._clock_ms(), self._last_ms + 1)
        return self._last_ms


def _authorization(credentials: Credentials) -> str:
    return f"Carbonnode {credentials.sender.hex()}:{credentials.time_ms}:{credentials.signature.hex()}"
