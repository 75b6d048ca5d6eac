"""Transactions and pools for tests of the daemon's parts."""

from collections.abc import Callable
from itertools import count

import pytest

from carbonnode.chain.genesis import Parameters
from carbonnode.chain.signing import KeySigner
from carbonnode.chain.transaction import Body, Call, Transaction
from carbonnode.node.config import MempoolSection
from carbonnode.node.mempool import Mempool

CHAIN = b"c" * 32
MakeTransaction = Callable[..., Transaction]
MakePool = Callable[..., Mempool]


@pytest.fixture
def make_tx() -> MakeTransaction:
    """Signed transactions with rising nonces: `make_tx(sender=, contract=, valid_until=, gas=, chain=, size=)`."""
    nonces = count(1)

    def make(
        sender: str = "alice", contract: str = "toy", valid_until: int = 100, gas: int = 1_000, chain: bytes = CHAIN, size: int = 0, calls: int = 1
    ) -> Transaction:
        signer = KeySigner(sender.encode().ljust(32, b"\0"))
        call = Call(contract, "act", (b"x" * size,))
        return Transaction.sign(Body(chain, signer.public_key, next(nonces).to_bytes(16, "big"), valid_until, gas, (call,) * calls), signer)

    return make


@pytest.fixture
def make_pool() -> MakePool:
    """An empty pool: `make_pool(parameters=, executed=, **settings)`."""

    def make(parameters: Parameters | None = None, executed: Callable[[bytes], bool] = lambda _: False, **settings: int) -> Mempool:
        return Mempool(MempoolSection(**settings), parameters or Parameters(), CHAIN, executed)

    return make
