"""Payments that go on while a network is under fire, and the account of them afterwards.

A thread pays one unit at a time through whichever validator answers. What a kill made a node forget is sent again at the end: executed at most
once, the sums tell. `settle` ends the payments and holds every running validator against them.
"""

import random
import threading
import time
from dataclasses import dataclass, field

import httpx

from carbonnode.chain.transaction import Transaction
from tests.functional import checkers
from tests.functional.harness import BANK, SUPPLY, NodeHandle, ToyNetwork, signer

PEOPLE = tuple(signer(f"person {number}") for number in range(8))
PAUSE_S = 0.1
BURST = 2
ASK = 500
CALL_S = 3.0
ACCEPTED = ("pending", "ordered", "final")
EXCUSED = ("expired", "stopping")
"""A node that is told to end takes nothing more; a client that was stopped for long may be late."""


def pay(net: ToyNetwork, node: NodeHandle, count: int = 10) -> list[Transaction]:
    """Submit payments of 1 from the bank; none may be refused."""
    transactions = [net.transfer(BANK, PEOPLE[number % len(PEOPLE)].public_key, 1, max(node.height, 0)) for number in range(count)]
    answers = net.submit(node, transactions)
    assert {answer["status"] for answer in answers} <= set(ACCEPTED), answers
    return transactions


@dataclass
class Payer:
    """`start` once; `settle` as often as wanted, each time after the network was healed."""

    net: ToyNetwork
    seed: int = 1
    sent: dict[bytes, Transaction] = field(default_factory=dict)
    final: set[bytes] = field(default_factory=set)
    refused: list[str] = field(default_factory=list)
    fault: str = ""
    """What ended the thread before its time."""

    def __post_init__(self) -> None:
        self._rng = random.Random(self.seed)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._height = 0
        self._thread = threading.Thread(target=self._pay, name="payer", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join(30)

    def _pay(self) -> None:
        try:
            self._go_on_paying()
        except BaseException as error:
            self.fault = repr(error)  # a network without payments is another test: whoever waits for them hears of it
            raise

    def _go_on_paying(self) -> None:
        while not self._stop.wait(PAUSE_S):
            running = [node for node in self.net.validators if node.process is not None and node.name not in self.net.suspects]
            if not running:
                continue
            node = self._rng.choice(running)
            with self._lock:
                to = [self._rng.choice(PEOPLE).public_key for _ in range(BURST)]
                transactions = [self.net.transfer(BANK, key, 1, self._height) for key in to]
                self.sent |= {tx.id: tx for tx in transactions}
            self._submit(node, transactions)

    def _submit(self, node: NodeHandle, transactions: list[Transaction]) -> None:
        try:
            answer = self.net.post(node, transactions, CALL_S)
        except httpx.TransportError:
            return  # killed, stopped or cut off: what it may have taken is sent again in the end
        if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            return  # it says so itself: full
        assert answer.status_code == httpx.codes.OK, answer.text
        results = answer.json()["results"]
        self.refused += [f"{node.name}: {item['code']}" for item in results if item["status"] not in ACCEPTED and item["code"] not in EXCUSED]
        status = node.status()
        self._height = max(self._height, 0 if status is None else int(status["height"]))

    def settle(self, timeout_s: float = 60.0) -> int:
        """Everything sent so far becomes final (or expired) on all running validators, and the sums are right; how many payments that were."""
        assert not self.fault, f"the payments ended: {self.fault}"
        with self._lock:
            owed = [tx for tx in self.sent.values() if tx.id not in self.final]
        nodes = [node for node in self.net.validators if node.process is not None and node.name not in self.net.suspects]
        expired: set[bytes] = set()
        deadline = time.monotonic() + timeout_s
        for node in nodes:
            left = [tx for tx in owed if tx.id not in expired]
            while left:
                part, rest = left[:ASK], left[ASK:]
                found = self.net.statuses(node, part, wait_ms=1_000)
                done = {bytes.fromhex(item["tx_id"]): item["status"] for item in found if item["status"] in ("final", "expired")}
                expired |= {tx_id for tx_id, status in done.items() if status == "expired"}
                again = [tx for tx in part if tx.id not in done]
                left = again + rest
                if again and time.monotonic() > deadline:
                    tails = "\n".join(item.tail() for item in self.net.validators)
                    raise AssertionError(f"{len(left)} payments aren't final at {node.name} after {timeout_s} s\n{tails}")
                if again:
                    # Unknown where it was taken by a node that died since; refused as known where it wasn't: executed once either way.
                    expired |= {tx.id for tx, answer in zip(again, self.net.submit(node, again), strict=True) if answer["code"] == "expired"}
        with self._lock:
            self.final |= {tx.id for tx in owed if tx.id not in expired}
        assert not self.refused, self.refused[:10]
        self._compare(nodes)
        return len(self.final)

    def _compare(self, nodes: list[NodeHandle]) -> None:
        """One block at the lowest tip, and every balance adds up, at one height of each node."""
        low = min(node.height for node in nodes)
        self.net.assert_same(low, nodes)
        for node in nodes:
            checkers.check_sums(self.net, node, SUPPLY)
