"""A transaction that kills every executor, planted: a quorum of validators orders to skip it, and the network goes on, also through restarts."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from carbonnode.chain.transaction import Call
from carbonnode.node.executor_watch import VARIABLE
from tests.functional.harness import BANK, SUPPLY, ToyNetwork, signer

pytestmark = pytest.mark.functional
POISON = {VARIABLE: "identity.register"}
"""In these networks' executors a call of this method is deadly."""
ANN = signer("ann")


@pytest.fixture
def network(tmp_path: Path) -> Iterator[ToyNetwork]:
    net = ToyNetwork(tmp_path)
    for node in net.nodes.values():
        node.environment.update(POISON)
    with net.running_at(1):
        yield net


def test_the_network_survives_a_transaction_that_kills_its_executors(network: ToyNetwork) -> None:
    first, second, _, fourth = network.validators
    before = network.transfer(BANK, ANN.public_key, 5, first.height)
    poison = network.sign(ANN, Call("identity", "register", ("ANN",)), first.height)
    after = network.transfer(BANK, ANN.public_key, 7, first.height)
    network.submit(first, [before])
    network.submit(first, [poison, after])
    found = network.settle(second, [before, poison, after], timeout_s=90.0)
    assert [item["outcome"] for item in found] == ["OK", "ABORTED_BY_QUORUM", "OK"]
    assert found[1]["code"] == "chain.skipped"
    height = found[1]["height"]
    network.wait_height(height + 1)
    network.assert_same(height)
    for node in network.validators:
        assert network.query(node, "balance", ANN.public_key) == 12
        assert network.query(node, "supply") == SUPPLY
    # Who has to execute the block again finds the order in its header, and needs no votes.
    assert fourth.kill(signal.SIGKILL) == -signal.SIGKILL
    paid = network.transfer(BANK, ANN.public_key, 1, first.height)
    network.submit(first, [paid])
    network.settle(first, [paid])
    network.up([fourth.name])
    network.settle(fourth, [paid], timeout_s=60.0)
    network.assert_same(height)
    assert network.query(fourth, "balance", ANN.public_key) == 13
