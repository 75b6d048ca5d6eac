"""Skip orders under loss, reordering and lying members: honest validators all come to one header, and only what kills executors is skipped.

Real desks and votes under a seeded source; an executor is modelled by what it dies of. A CHECKPOINT is given once a height, as consensus does.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from carbonnode.chain.codec import encode
from carbonnode.chain.signing import KeySigner
from carbonnode.chain.skip import check_order, sign_skip
from carbonnode.chain.validators import Validator, ValidatorSet
from carbonnode.errors import PeerViolation
from carbonnode.node.skips import SkipDesk

CHAIN = b"c" * 32
HEIGHT = 5
SEEDS = 24
ROUNDS = 400


def identifier(number: int) -> bytes:
    return number.to_bytes(32, "big")


@dataclass
class Node:
    """An honest validator at one height: it dies of the first deadly transaction that isn't skipped, else votes for its header, once."""

    desk: SkipDesk
    transactions: list[bytes]
    deadly: set[bytes]
    checkpoint: frozenset[bytes] | None = None

    def work(self) -> None:
        if self.checkpoint is not None:
            return
        skipped = {order.tx_id for order in self.desk.orders(HEIGHT)}
        killer = next((tx for tx in self.transactions if tx in self.deadly and tx not in skipped), None)
        if killer is None:
            self.checkpoint = frozenset(skipped & set(self.transactions))
        else:
            self.desk.died(HEIGHT, killer, "it died")


@dataclass
class World:
    """A lossy network among n members, of whom f lie."""

    seed: int
    sound: set[bytes] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)
        n = self.dice.randint(4, 10)
        self.signers = [KeySigner(bytes([number + 1]) * 32) for number in range(n)]
        keys = [signer.public_key for signer in self.signers]
        self.set = ValidatorSet(tuple(Validator(f"v{i}", "super", key, bytes([i + 101]) * 32) for i, key in enumerate(keys)))
        self.liars = set(self.dice.sample(range(n), self.dice.randint(0, self.set.faults)))
        transactions = [identifier(number) for number in range(1, 9)]
        self.deadly = set(self.dice.sample(transactions, self.dice.randint(1, 4)))
        self.sound = set(transactions) - self.deadly
        self.waiting: list[tuple[int, bytes]] = []
        self.nodes = {i: Node(self.desk(i), transactions, self.deadly) for i in range(n) if i not in self.liars}

    def desk(self, number: int) -> SkipDesk:
        return SkipDesk(CHAIN, self.signers[number], lambda: (0, self.set), self.sender(number), lambda _code, _detail: None)

    def sender(self, number: int) -> Callable[[bytes], None]:
        def send(body: bytes) -> None:
            for target in self.nodes:
                if target != number and self.dice.random() < 0.7:
                    self.waiting += [(target, body)] * self.dice.choice((1, 1, 2))

        return send

    def lie(self) -> None:
        """A Byzantine member: votes against sound transactions, in its own and in others' names, for other heights and epochs."""
        liar = self.dice.choice(sorted(self.liars))
        victim = self.dice.choice(sorted(self.sound | self.deadly))
        named = self.dice.choice((liar, self.dice.randrange(len(self.signers))))
        vote = sign_skip(self.signers[liar], named, CHAIN, self.dice.choice((0, 0, 1)), self.dice.choice((HEIGHT, HEIGHT, HEIGHT + 1)), victim)
        self.waiting += [(target, encode(vote)) for target in self.nodes]

    def run(self) -> None:
        for _ in range(ROUNDS):
            if self.liars and self.dice.random() < 0.3:
                self.lie()
            node = self.nodes[self.dice.choice(sorted(self.nodes))]
            node.work()
            if self.dice.random() < 0.3:
                node.desk.repeat()
            self.dice.shuffle(self.waiting)
            for target, body in [self.waiting.pop() for _ in range(min(len(self.waiting), self.dice.randint(0, 12)))]:
                try:
                    self.nodes[target].desk.receive(body)
                except PeerViolation:
                    continue  # a forged vote: the link's owner is blamed, nothing else happens
            self.check()
            if all(one.checkpoint is not None for one in self.nodes.values()):
                return

    def check(self) -> None:
        """After every step: orders are quorums, and no sound transaction has one."""
        for node in self.nodes.values():
            for order in node.desk.orders(HEIGHT):
                check_order(order, self.set, CHAIN, 0)
                assert order.tx_id in self.deadly, f"seed {self.seed}: a sound transaction is ordered to be skipped"


@pytest.mark.parametrize("seed", range(SEEDS))
def test_honest_validators_come_to_one_header_that_skips_only_what_kills(seed: int) -> None:
    world = World(seed)
    world.run()
    assert {node.checkpoint for node in world.nodes.values()} == {frozenset(world.deadly)}, f"seed {seed}"
