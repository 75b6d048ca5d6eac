"""State transfer across a change of validators, with real processes: one is away while the set changes by vote."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from carbonnode.chain.codec import decode
from carbonnode.chain.genesis import Parameters
from carbonnode.chain.header import Header
from carbonnode.chain.proof import validators_after
from carbonnode.chain.signing import KeySigner
from carbonnode.chain.transaction import Body, Call, Transaction
from carbonnode.node.changes import ChangeFile
from carbonnode.node.config import StorageSection
from carbonnode.node.snapshot_install import SNAPSHOTS
from carbonnode.storage.snapshots import SnapshotDirectory
from tests.functional.chain_snapshot_test import logged
from tests.functional.governed import GovernedNetwork
from tests.functional.harness import BANK, NodeHandle, signer

pytestmark = [pytest.mark.functional, pytest.mark.slow]
JOINER, AWAY = "joiner-1", "coordination-2"
ANN = signer("ann")
VALIDITY = 40
PARAMETERS = Parameters(window=6, epoch_blocks=12, idle_block_ms=150, block_interval_ms=100, validity_blocks=VALIDITY)
STORAGE = StorageSection(snapshot_blocks=10, snapshot_lag=1_000)


class HastyNetwork(GovernedNetwork):
    """Its transactions are valid for few blocks."""

    def sign(self, sender: KeySigner, call: Call, height: int = 0) -> Transaction:
        self._nonce += 1
        nonce = os.urandom(8) + self._nonce.to_bytes(8, "big")
        return Transaction.sign(Body(self.genesis.chain_id, sender.public_key, nonce, height + VALIDITY - 2, 200_000, (call,)), sender)


@pytest.fixture
def network(tmp_path: Path) -> Iterator[GovernedNetwork]:
    net = HastyNetwork(tmp_path, followers=(JOINER,), parameters=PARAMETERS, storage=STORAGE)
    try:
        net.up(list(net.nodes))
        net.wait_height(1)
        yield net
    finally:
        net.down()


def pruned(node: NodeHandle) -> bool:
    answer = httpx.get(f"{node.url}/v1/blocks/1", timeout=10.0)
    return answer.status_code == 410 and answer.json()["code"] == "pruned"


def set_lag(node: NodeHandle, blocks: int) -> None:
    """From how far behind this node takes a snapshot."""
    path = node.directory.config_path
    before = path.read_text("utf-8")
    after = before.replace(f"snapshot_lag = {STORAGE.snapshot_lag}", f"snapshot_lag = {blocks}")
    assert after != before
    path.write_text(after, "utf-8")


def test_a_node_that_missed_a_change_of_validators_comes_back_by_a_snapshot(network: GovernedNetwork) -> None:
    net = network
    anchor, away = net.nodes["super-1"], net.nodes[AWAY]
    assert away.kill(signal.SIGTERM) == 0
    changed = net.change_validators(anchor, net.joins(JOINER))
    stayed = [node for name, node in net.nodes.items() if name != AWAY]
    names = [node.name for node in stayed]
    net.wait_height(changed + 2, names)
    paid = net.transfer(BANK, ANN.public_key, 7, anchor.height)
    net.submit(anchor, [paid])
    net.settle(anchor, [paid])

    # Whoever comes back may be told of one window of blocks at a time: its lag is below that.
    net.wait_height(changed + 2 * STORAGE.snapshot_blocks, names)
    set_lag(away, PARAMETERS.window - 1)
    net.up([AWAY])
    net.wait("the absent one to begin anew from a snapshot", lambda: logged(away, "snapshot installed"), 60.0)
    (fetched,) = logged(away, "snapshot fetched")
    assert fetched["height"] > changed
    height = max(node.height for node in net.running)
    net.wait_height(height)
    net.assert_same(height)
    assert pruned(away)
    assert net.query(away, "balance", ANN.public_key) == 7
    voting = httpx.get(f"{away.url}/v1/validators", timeout=10.0).json()
    assert JOINER in [row["name"] for row in voting["validators"]]

    # What it now holds leads from genesis to the new set, and it votes in that: without another one there is no quorum but with it.
    changes = ChangeFile(away.directory.data_path).changes
    assert [decode(change.header, Header).height + 1 for change in changes] == [changed]
    assert JOINER in [validator.name for validator in validators_after(net.genesis, changes).validators]
    assert max(SnapshotDirectory(anchor.directory.data_path / "state" / SNAPSHOTS).heights()) > changed
    assert net.nodes["super-2"].kill() < 0
    last = net.transfer(BANK, ANN.public_key, 1, away.height)
    net.submit(away, [last])
    net.settle(away, [last], timeout_s=30.0)
    assert net.query(away, "balance", ANN.public_key) == 8
