"""Validators join, rotate their keys and leave by votes through `rules`, under load, with real processes: 4, 5, 7, then 5, most of them newcomers."""

import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from carbonnode.chain.transaction import Transaction
from tests.functional.governed import GovernedNetwork
from tests.functional.harness import BANK, NodeHandle, signer

pytestmark = [pytest.mark.functional, pytest.mark.slow]
JOINERS = ("joiner-1", "joiner-2", "joiner-3")
LATE, USER = "late-1", "user-1"
"""Nodes that start from genesis when all is over."""
ANN = signer("ann")
TRICKLE_S = 0.1


@pytest.fixture
def network(tmp_path: Path) -> Iterator[GovernedNetwork]:
    net = GovernedNetwork(tmp_path, followers=(*JOINERS, LATE), users=[(USER, "ANN")])
    try:
        net.up([name for name in net.nodes if name not in (LATE, USER)])
        net.wait_height(1)
        yield net
    finally:
        net.down()


class Trickle:
    """A client that keeps paying, a few transactions at a time, and remembers each."""

    def __init__(self, net: GovernedNetwork, node: NodeHandle) -> None:
        self.sent: list[Transaction] = []
        self.faults: list[BaseException] = []
        self._net, self._node = net, node
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="trickle")
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._end.wait(TRICKLE_S):
                batch = [self._net.transfer(BANK, ANN.public_key, 1, max(self._node.height, 0)) for _ in range(5)]
                self.sent += batch
                answers = self._net.submit(self._node, batch)
                assert {answer["status"] for answer in answers} <= {"pending", "ordered", "final"}, answers
        except BaseException as error:  # noqa: BLE001 - handed to the test
            self.faults.append(error)

    def stop(self) -> list[Transaction]:
        """Everything that was sent."""
        self._end.set()
        self._thread.join(30)
        assert not self.faults, self.faults
        return self.sent


def epoch_of(node: NodeHandle) -> int:
    status = node.status()
    return -1 if status is None else int(status["epoch"])


def test_four_become_seven_become_five_under_load(network: GovernedNetwork) -> None:
    net = network
    anchor = net.nodes["super-2"]
    trickle = Trickle(net, anchor)
    try:
        early = net.transfer(BANK, ANN.public_key, 1, anchor.height)
        net.submit(anchor, [early])
        net.settle(anchor, [early])
        net.wait_height(net.change_validators(anchor, net.joins("joiner-1")))
        net.wait_height(net.change_validators(anchor, net.joins("joiner-2"), net.joins("joiner-3")))
        assert {epoch_of(node) for node in net.running} == {2}
        rotated = net.change_validators(anchor, net.fresh_keys("coordination-2"))
        net.wait_height(rotated + 1, timeout_s=90.0)
        five = net.change_validators(anchor, ("remove", "super-1"), ("remove", "coordination-1"))
        net.wait_height(five + 2)
        late = net.transfer(BANK, ANN.public_key, 1, anchor.height)
        net.submit(anchor, [late])
        net.settle(anchor, [late])
    finally:
        sent = trickle.stop()
    # Five bear one fault: without a member that was there from the beginning the newcomers go on, with its successor keys among them.
    assert net.nodes["joiner-1"].kill() < 0
    joiner = net.nodes["joiner-2"]
    alone = net.transfer(BANK, ANN.public_key, 1, joiner.height)
    net.submit(joiner, [alone])
    net.settle(joiner, [alone], timeout_s=30.0)
    net.up(["joiner-1"])
    paid = [early, late, alone, *sent]
    assert len({tx.id for tx in paid}) == len(paid)
    net.settle(joiner, paid)
    height = joiner.height
    net.wait_height(height)
    net.assert_same(height)
    net.up([LATE, USER])
    net.wait_height(height, [LATE, USER])
    net.assert_same(height)
    for name in (LATE, USER):
        voting = httpx.get(f"{net.nodes[name].url}/v1/validators", timeout=10.0).json()
        assert [row["name"] for row in voting["validators"]] == ["super-2", "coordination-2", *JOINERS], name
        assert voting["first_height"] == five
    for node in [node for node in net.running if node.name != USER]:
        assert net.query(node, "balance", ANN.public_key) == len(paid), node.name
        assert epoch_of(node) == 4
    for tx, signers in ((early, {"super-1", "super-2", "coordination-1", "coordination-2"}), (alone, {"super-2", "coordination-2", "joiner-2", "joiner-3"})):
        verified = net.verify(net.proof(net.nodes["joiner-3"], tx))
        assert verified.transaction.id == tx.id
        assert set(verified.signers) <= signers
    assert any("no longer votes" in line for line in net.nodes["super-1"].directory.log_path.read_text().splitlines())
