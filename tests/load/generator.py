"""Open-loop load: transactions leave at their due times whatever the answers, and heights are watched on every validator."""

import asyncio
import time
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field

import httpx
import msgspec

from carbonnode.chain.transaction import Transaction

TICK_S = 0.04
POLL_S = 0.1
MAX_BATCH = 500


@dataclass
class Watch:
    """What polling one validator saw: (monotonic time, certified height, waiting transactions), ascending."""

    times: list[float] = field(default_factory=list)
    heights: list[int] = field(default_factory=list)
    mempools: list[int] = field(default_factory=list)
    views: list[int] = field(default_factory=list)

    def seen_at(self, height: int) -> float | None:
        """When this validator was first seen to hold `height` certified, or None."""
        index = bisect_left(self.heights, height)
        return self.times[index] if index < len(self.heights) else None


@dataclass
class Sent:
    """What was sent: due time and validator of each transaction, and how the nodes answered."""

    due: list[float] = field(default_factory=list)
    node: list[int] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    late_s: float = 0.0


class Load:
    """One run of load against `urls` (one a validator)."""

    def __init__(self, urls: list[str]) -> None:
        self.urls = urls
        self.watches = [Watch() for _ in urls]
        self.sent = Sent()
        self._client = httpx.AsyncClient(timeout=30.0, limits=httpx.Limits(max_connections=64), trust_env=False)
        self._stop = asyncio.Event()
        self.down: set[int] = set()

    async def watch(self, index: int) -> None:
        """Poll one validator until `finish`."""
        watch, url = self.watches[index], f"{self.urls[index]}/v1/status"
        while not self._stop.is_set():
            try:
                status = msgspec.json.decode((await self._client.get(url)).content)
                watch.heights.append(status["height"])
                watch.times.append(time.monotonic())
                watch.mempools.append(status["mempool"])
                watch.views.append(status["view"])
            except (httpx.TransportError, msgspec.DecodeError, KeyError):
                self.sent.answers["poll failed"] += 1
            try:
                await asyncio.wait_for(self._stop.wait(), POLL_S)
            except TimeoutError:
                continue

    async def status(self, index: int) -> dict[str, object]:
        """One validator's status. Raises `OSError` when it can't be reached."""
        try:
            status: dict[str, object] = msgspec.json.decode((await self._client.get(f"{self.urls[index]}/v1/status", timeout=2.0)).content)
        except httpx.TransportError as error:
            raise OSError(f"{self.urls[index]}: {error!r}") from error
        return status

    async def _post(self, node: int, raws: list[bytes]) -> None:
        try:
            response = await self._client.post(
                f"{self.urls[node]}/v1/transactions/batch",
                content=msgspec.msgpack.encode(raws),
                headers={"content-type": "application/msgpack", "accept": "application/json"},
            )
            results = msgspec.json.decode(response.content).get("results", [])
            self.sent.answers.update(f"{r['status']} {r.get('code') or ''}".strip() for r in results)
            if len(results) != len(raws):
                self.sent.answers[f"http {response.status_code}"] += len(raws)
        except httpx.TransportError as error:
            self.sent.answers[type(error).__name__] += len(raws)

    async def send(self, transactions: list[Transaction], rate: float) -> float:
        """Send all at `rate` per second, spread over the validators that are up; returns the monotonic start time."""
        start = time.monotonic() + 0.05
        tasks: set[asyncio.Task[None]] = set()
        position = turn = 0
        while position < len(transactions):
            now = time.monotonic()
            due = min(len(transactions), int((now - start) * rate) + 1, position + MAX_BATCH) if now >= start else position
            if due > position:
                nodes = [n for n in range(len(self.urls)) if n not in self.down]
                node = nodes[turn % len(nodes)]
                turn += 1
                self.sent.due += [start + i / rate for i in range(position, due)]
                self.sent.node += [node] * (due - position)
                self.sent.late_s = max(self.sent.late_s, now - (start + position / rate))
                task = asyncio.create_task(self._post(node, [tx.raw for tx in transactions[position:due]]))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
                position = due
            await asyncio.sleep(TICK_S)
        if tasks:
            await asyncio.wait(tasks)
        return start

    async def settle(self, timeout_s: float) -> float:
        """Wait until no validator that is up has waiting transactions; returns how long it took."""
        start = time.monotonic()
        while time.monotonic() - start < timeout_s:
            live = [w for i, w in enumerate(self.watches) if i not in self.down]
            if all(w.times and w.times[-1] > start and w.mempools[-1] == 0 for w in live):
                break
            await asyncio.sleep(POLL_S)
        return time.monotonic() - start

    async def statuses(self, transactions: list[Transaction]) -> list[dict[str, object]]:
        """Every transaction's status, asked after the run."""
        found: list[dict[str, object]] = []
        for start in range(0, len(transactions), 1000):
            ids = [tx.id.hex() for tx in transactions[start : start + 1000]]
            response = await self._client.post(f"{self.urls[0]}/v1/transactions/status", json={"tx_ids": ids})
            response.raise_for_status()
            found += msgspec.json.decode(response.content)["transactions"]
        return found

    async def finish(self) -> None:
        """End the watchers' loops and close the connections."""
        self._stop.set()
        await asyncio.sleep(POLL_S * 2)
        await self._client.aclose()
