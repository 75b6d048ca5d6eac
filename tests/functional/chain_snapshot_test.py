"""State transfer between real nodes while payments go on: a new follower, killed in the middle; validators that lost their stores, with and without votes."""

import json
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from carbonnode.chain.genesis import ContractSource, Parameters
from carbonnode.chain.transaction import Transaction
from carbonnode.node.config import StorageSection
from carbonnode.node.snapshot_install import SNAPSHOTS
from carbonnode.storage import leveldb
from carbonnode.storage.blocks import BlockStore
from carbonnode.storage.crashpoints import VARIABLE
from carbonnode.storage.datadir import DataDirectory
from carbonnode.storage.leveldb import LevelKV
from carbonnode.storage.snapshots import SnapshotDirectory
from tests.functional.harness import BANK, NodeHandle, ToyNetwork, signer

pytestmark = [pytest.mark.functional, pytest.mark.slow]
FOLLOWER = "coordination-9"
EVERY = 60
PEOPLE = [signer(f"person {number}") for number in range(8)]
QUICK = Parameters(block_interval_ms=100, idle_block_ms=150, window=16)
LINE = "# " + "ballast " * 15 + "\n"
# State enough for many chunks: sources of contracts are state.
SOURCE = f'"""Ballast."""\n{LINE * 480}\n\n@view\ndef n() -> int:\n    return 0\n'
BALLAST = [ContractSource(f"ballast{number}", SOURCE) for number in range(40)]


class Payments(threading.Thread):
    """Pays 1 from the bank, again and again, through one node."""

    def __init__(self, net: ToyNetwork, node: NodeHandle) -> None:
        super().__init__(daemon=True)
        self.net, self.node = net, node
        self.sent: list[Transaction] = []
        self.stopping = threading.Event()

    def run(self) -> None:
        while not self.stopping.wait(0.2):
            batch = [self.net.transfer(BANK, person.public_key, 1, max(self.node.height, 0)) for person in PEOPLE[:4]]
            self.net.submit(self.node, batch)
            self.sent += batch

    def end(self) -> list[Transaction]:
        self.stopping.set()
        self.join()
        return self.sent


@pytest.fixture
def network(tmp_path: Path) -> Iterator[ToyNetwork]:
    storage = StorageSection(snapshot_blocks=EVERY, snapshot_lag=EVERY // 2)
    net = ToyNetwork(tmp_path, followers=[FOLLOWER], parameters=QUICK, contracts=BALLAST, storage=storage)
    try:
        net.up([node.name for node in net.validators])
        yield net
    finally:
        net.down()


def snapshots(node: NodeHandle) -> list[int]:
    return SnapshotDirectory(node.directory.data_path / "state" / SNAPSHOTS).heights()


def logged(node: NodeHandle, event: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in node.directory.log_path.read_text().splitlines() if line.startswith("{")]
    return [line for line in lines if line.get("event") == event]


def wait_for_snapshot(net: ToyNetwork, above: int = 0) -> None:
    net.wait("all validators to have a snapshot", lambda: all(max(snapshots(node), default=0) > above for node in net.validators if node.process), 120.0)


def wait_caught_up(net: ToyNetwork, node: NodeHandle) -> None:
    height = max(other.height for other in net.running)
    net.wait_height(height, [node.name], 120.0)
    net.assert_same(height, [node, net.validators[0]])


def wipe(node: NodeHandle, *, journal: bool) -> None:
    data = node.directory.data_path
    if journal:
        shutil.rmtree(data)
        DataDirectory.create(data, node.directory.genesis().chain_id)
        return
    for store in ("blocks", "state"):
        shutil.rmtree(data / store)
        leveldb.create(data / store)


@pytest.fixture
def payments(network: ToyNetwork) -> Iterator[Payments]:
    made = Payments(network, network.validators[0])
    made.start()
    yield made
    made.end()


def operate(*argv: object) -> dict[str, Any]:
    """Run an operator's command; its JSON."""
    done = subprocess.run([sys.executable, "-m", "carbonnode", *[str(part) for part in argv], "--json"], capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def back_and_forth(network: ToyNetwork, follower: NodeHandle, validator: NodeHandle, tmp_path: Path) -> None:
    for node in (follower, validator):
        assert node.kill(signal.SIGTERM) == 0
    with LevelKV.open(follower.directory.data_path / "blocks") as kv:
        target = BlockStore(kv).height - 10
    report = operate("rollback", "--dir", follower.directory.path, "--to-height", target)
    assert (report["height"], report["by"]) == (target, "undo")
    saved = operate("backup", "--dir", validator.directory.path, "--to", tmp_path / "backup")
    shutil.rmtree(validator.directory.data_path)
    assert operate("restore", "--dir", validator.directory.path, "--from", tmp_path / "backup")["height"] == saved["height"]
    for node in (follower, validator):
        assert operate("verify-store", "--dir", node.directory.path)["ok"]
    network.up([follower.name, validator.name])
    for node in (follower, validator):
        wait_caught_up(network, node)
    network.wait("the restored node to abstain", lambda: any(line["code"] == "abstaining" for line in logged(validator, "alarm")), 60.0)


def test_a_follower_and_wiped_validators_fetch_the_state_while_payments_go_on(network: ToyNetwork, payments: Payments, tmp_path: Path) -> None:
    first, _, third, fourth = network.validators
    follower = network.nodes[FOLLOWER]
    wait_for_snapshot(network)
    height = min(max(snapshots(node)) for node in network.validators)
    files = [
        {path.name: path.read_bytes() for path in (node.directory.data_path / "state" / SNAPSHOTS / f"{height:016d}").iterdir() if path.name != "proof"}
        for node in network.validators if height in snapshots(node)
    ]
    assert all(other == files[0] for other in files)

    # A new follower, killed while chunks come in, and again when the new state is ready: it goes on both times.
    for point in ("fetch.chunk:5", "install.state:1"):
        follower.start({VARIABLE: point})
        network.wait(f"the follower to die at {point}", lambda: follower.process is not None and follower.process.poll() is not None, 120.0)
        assert follower.ended() == -signal.SIGKILL
    network.up([FOLLOWER])
    wait_caught_up(network, follower)
    fetched = logged(follower, "snapshot fetched")
    assert all(line["chunks"] >= 10 for line in fetched)
    assert fetched[0]["resumed"] >= 3
    assert len({source for line in fetched for source in line["sources"]}) >= 2
    assert len(logged(follower, "an interrupted change of the state was finished")) == 1
    answer = httpx.get(f"{follower.url}/v1/blocks/1", timeout=10.0)
    assert (answer.status_code, answer.json()["code"]) == (410, "pruned")
    above = fetched[-1]["height"] + 1
    assert network.block(follower, above)["height"] == above

    # Blocks and state lost, votes kept: it fetches, and votes on.
    assert fourth.kill(signal.SIGTERM) == 0
    wipe(fourth, journal=False)
    network.up([fourth.name])
    wait_caught_up(network, fourth)
    assert logged(fourth, "snapshot installed")
    assert [line for line in logged(fourth, "alarm") if line["code"] == "abstaining"] == []

    # Everything lost but the keys: it may have voted, so it abstains until that can do no harm.
    assert third.kill(signal.SIGTERM) == 0
    wipe(third, journal=True)
    network.up([third.name])
    network.wait("it to abstain", lambda: any(line["code"] == "abstaining" for line in logged(third, "alarm")), 60.0)
    wait_caught_up(network, third)
    network.wait("it to vote again", lambda: any(line["code"] == "abstaining-over" for line in logged(third, "alarm")), 120.0)
    assert logged(third, "snapshot installed")

    # An operator takes the follower back, and a validator's disk dies after a backup: both follow again.
    back_and_forth(network, follower, fourth, tmp_path)

    sent = payments.end()
    network.settle(first, sent, timeout_s=60.0)
    height = max(node.height for node in network.running)
    network.wait_height(height, timeout_s=60.0)
    network.assert_same(height)
    roots = {network.block(node, height)["state_root"] for node in network.running}
    assert len(roots) == 1
    for node in network.running:
        assert sum(network.query(node, "balance", person.public_key) for person in PEOPLE) == len(sent), node.name
    # Sent once more, nothing runs a second time, at the nodes that began from a snapshot least of all.
    network.submit(fourth, sent[:20])
    network.wait_height(height + 5)
    assert network.query(fourth, "balance", BANK.public_key) == network.query(first, "balance", BANK.public_key)
    assert sum(network.query(first, "balance", person.public_key) for person in PEOPLE) == len(sent)
