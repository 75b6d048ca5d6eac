"""The market year's chain when it is a real network: wallets sign, any live node takes, and what a dying node forgot is sent again."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from carbonnode.chain.genesis import Genesis, value_from_json
from carbonnode.chain.service import FINAL, REFUSED
from carbonnode.chain.signing import Signer
from carbonnode.chain.transaction import Transaction
from carbonnode.chain.values import Value
from carbonnode.client import Client, QueryAnswer, TransactionInfo
from carbonnode.devnet.layout import NodeEntry
from carbonnode.devnet.wallets import Wallets
from carbonnode.devnet.year_journal import YearJournal
from carbonnode.devnet.year_ports import Done, Request, YearError
from carbonnode.errors import RemoteError

PATIENCE_S = 600.0
"""How long the year waits for a network that makes no blocks (two of four validators down, say) before it gives up."""
T = TypeVar("T")
_SLICE_S = 20.0
_PAUSE_S = 0.3
_WAITING_CODES = frozenset(("unreachable", "timeout", "busy", "overloaded", "not-ready", "pruned", "internal"))


async def patiently(ask: Callable[[], Awaitable[T]], what: str, patience_s: float = PATIENCE_S) -> T:
    """Ask until a node answers. Raises `YearError` after `patience_s`, and at once what isn't a matter of waiting."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return await ask()
        except RemoteError as error:
            if error.code not in _WAITING_CODES:
                raise
            if time.monotonic() > deadline:
                raise YearError(f"{what}: no answer within {patience_s:g} s ({error}): see `carbonnode devnet status`") from error
        await asyncio.sleep(_PAUSE_S)


class NetworkMarket:
    """`year_ports.Market` over nodes. A station whose organisation has a node of its own submits there, everybody else through the validators."""

    def __init__(self, nodes: Sequence[NodeEntry], genesis: Genesis, wallets: Wallets, journal: YearJournal, *, patience_s: float = PATIENCE_S) -> None:
        validators = [node.api for node in nodes if node.role != "user"]
        self._patience_s = patience_s
        self._genesis = genesis
        self._wallets = wallets
        self._journal = journal
        self._validators = Client(validators, chain_id=genesis.chain_id)
        # After its own node the validators: a user node that is down must not stop its owner.
        self._own = {n.organisation: Client([n.api, *validators], chain_id=genesis.chain_id) for n in nodes if n.role == "user"}
        self.height = 0
        self.resumed = 0

    @property
    def client(self) -> Client:
        """The client of the validators."""
        return self._validators

    async def close(self) -> None:
        """Close all connections."""
        for client in (self._validators, *self._own.values()):
            await client.close()

    def open_wallets(self, names: Sequence[str]) -> None:
        """Make the wallets that don't exist yet."""
        self._wallets.ensure(names)

    async def execute(self, requests: Sequence[Request]) -> list[Done]:
        """See `year_ports.Market`."""
        groups: dict[str, list[Request]] = {}
        for request in requests:
            groups.setdefault(request.organisation if request.organisation in self._own else "", []).append(request)
        results = await asyncio.gather(*[self._execute(self._own.get(org, self._validators), group) for org, group in groups.items()])
        done = {item.key: item for group in results for item in group}
        self.height = max([self.height, *(item.height for item in done.values())])
        return [done[request.key] for request in requests]

    async def _execute(self, client: Client, requests: Sequence[Request]) -> list[Done]:
        open_requests = {request.key: request for request in requests}
        done: dict[str, Done] = {}
        while open_requests:
            signed = await self._signed(client, list(open_requests.values()))
            for key, info in zip(open_requests, await self._settled(client, signed), strict=True):
                if info.status == FINAL:
                    done[key] = self._checked(open_requests[key], info)
                elif info.status == REFUSED and info.code != "expired":
                    raise YearError(f"{key}: refused by {client.url} with {info.code}: {info.message}")
                else:
                    # Its last height has passed without it, for certain: the next one has another id.
                    self._journal.put({key: await self._sign(client, open_requests[key])})
            open_requests = {key: request for key, request in open_requests.items() if key not in done}
        return [done[request.key] for request in requests]

    async def _signed(self, client: Client, requests: Sequence[Request]) -> list[Transaction]:
        """The transactions of these keys: as they were signed before, or new ones, kept before they are sent."""
        fresh = {r.key: await self._sign(client, r) for r in requests if self._journal.get(r.key) is None}
        if fresh:
            self._journal.put(fresh)
        else:
            self.resumed += len(requests)
        found = [self._journal.get(r.key) for r in requests]
        return [tx for tx in found if tx is not None]

    async def _sign(self, client: Client, request: Request) -> Transaction:
        signer = self._wallets.signer(request.signer)
        return await patiently(lambda: client.sign(request.calls, gas=request.gas, signer=signer), request.key, self._patience_s)

    async def _settled(self, client: Client, transactions: Sequence[Transaction]) -> list[TransactionInfo]:
        return await patiently(lambda: client.settle(transactions, timeout_s=_SLICE_S), transactions[0].id.hex(), self._patience_s)

    def _checked(self, request: Request, info: TransactionInfo) -> Done:
        code = "" if info.outcome == "OK" else info.code or info.outcome
        if code != request.expect:
            what = ", ".join(f"{c.contract}.{c.method}" for c in request.calls[:3])
            raise YearError(f"{request.key} ({what}): ended with {info.outcome} {info.code} in block {info.height}, expected {request.expect or 'OK'}")
        values = tuple(value_from_json(value) for value in info.values)
        return Done(request.key, bytes.fromhex(info.tx_id), info.height or 0, values, code)

    async def view(self, contract: str, view: str, *args: Value, signer: str = "") -> Value:
        """See `year_ports.Market`. Asked at a node that has what was final before."""
        by: Signer | None = self._wallets.signer(signer) if signer else None

        async def ask() -> QueryAnswer:
            answer = await self._validators.query(contract, view, *args, signer=by, signed=None if by else False)
            if answer.height < self.height:
                raise RemoteError(f"{self._validators.url} is at height {answer.height}, the year at {self.height}", code="not-ready")
            return answer

        answer = await patiently(ask, f"{contract}.{view}", self._patience_s)
        if answer.outcome != "OK":
            raise YearError(f"the view {contract}.{view} answered {answer.outcome} {answer.code} at height {answer.height}")
        return answer.decoded
