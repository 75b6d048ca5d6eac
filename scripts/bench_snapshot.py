"""`make bench-snapshot`: a new node comes to the height of its network by executing every block, and by fetching a snapshot of the state.

A chain of BLOCKS=2000 blocks with TXS=100 transfers each, every one to an account of its own (so the state grows with it), is made in this process, certified
with the nodes' keys, and laid into the directories of four validators; then a follower with empty stores is started twice. Writes build/bench-snapshot.json.
"""

import gc
import json
import os
import shutil
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from carbonnode.app import make_snapshot  # noqa: E402
from carbonnode.chain.batch import Batch  # noqa: E402
from carbonnode.chain.certificate import Certificate, sign_checkpoint  # noqa: E402
from carbonnode.chain.genesis import Parameters  # noqa: E402
from carbonnode.chain.signing import KeySigner  # noqa: E402
from carbonnode.chain.transaction import Body, Call, Transaction  # noqa: E402
from carbonnode.identity import KeyStore  # noqa: E402
from carbonnode.ledger.executor import BlockExecutor  # noqa: E402
from carbonnode.ledger.results import ExecutedBlock  # noqa: E402
from carbonnode.node.config import NodeConfig, StorageSection, to_toml  # noqa: E402
from carbonnode.node.snapshot_writer import SnapshotWriter  # noqa: E402
from carbonnode.storage.blocks import BlockStore, StoredBlock  # noqa: E402
from carbonnode.storage.datadir import DataDirectory  # noqa: E402
from carbonnode.storage.leveldb import LevelKV  # noqa: E402
from carbonnode.storage.space import SpaceGuard  # noqa: E402
from tests.functional.harness import BANK, PASSPHRASE, NodeHandle, ToyNetwork  # noqa: E402

FOLLOWER = "coordination-9"
SLICE_US = 10_000
GAS = 200_000


@dataclass
class Result:
    """Replay and snapshot: seconds from the start of the follower's process to its reaching the height. Writing: the processor's time."""

    blocks: int
    transactions: int
    leaves: int
    chunks: int
    snapshot_bytes: int
    write_cpu_s: float
    longest_slice_cpu_ms: float
    replay_s: float
    snapshot_s: float


class Maker:
    """Makes the chain in one node's directory."""

    def __init__(self, net: ToyNetwork, blocks: int, transactions: int) -> None:
        self.net, self.blocks, self.transactions = net, blocks, transactions
        self.node = net.validators[0]
        self.signers = [KeyStore(node.directory.keys_path).unlock("consensus", PASSPHRASE) for node in net.validators[:3]]
        self.nonce = 0

    def run(self) -> None:
        """Everything from genesis on."""
        data = self.node.directory.data_path
        with LevelKV.open(data / "state") as state, LevelKV.open(data / "blocks") as kv:
            executor, store = BlockExecutor(state, self.net.genesis, flush_blocks=64), BlockStore(kv)
            zero = executor.genesis_block()
            store.put(StoredBlock(zero.header, zero.header_hash, Batch(zero.header.time_ms, ()).encoded, (), zero.encoded, None), ())
            for height in range(1, self.blocks + 1):
                transactions = [self.transfer(height) for _ in range(self.transactions)]
                batch = Batch(zero.header.time_ms + 200 * height, tuple(tx.wire_hash for tx in transactions))
                outcome = executor.execute(height, batch, [tx.raw for tx in transactions])
                assert len(outcome.kept) == self.transactions
                raws = tuple(tx.raw for tx in transactions)
                block = StoredBlock(outcome.header, outcome.header_hash, batch.encoded, raws, outcome.encoded, self.certificate(outcome))
                store.put(block, tuple(tx.id for tx in transactions), sync=False)
                executor.finalise(height)
                if height % 200 == 0:
                    print(f"made {height} blocks", file=sys.stderr)
            executor.flush()

    def transfer(self, height: int) -> Transaction:
        """To an account of its own."""
        self.nonce += 1
        number = self.nonce.to_bytes(16, "big")
        call = Call("toy", "transfer", (number + bytes(16), 1))
        return Transaction.sign(Body(self.net.genesis.chain_id, BANK.public_key, number, height + 100, GAS, (call,)), BANK)

    def certificate(self, outcome: ExecutedBlock) -> Certificate:
        """By three of the four."""
        header = outcome.header
        chain_id = self.net.genesis.chain_id
        votes = tuple((index, _vote(signer, chain_id, outcome)) for index, signer in enumerate(self.signers))
        return Certificate(header.epoch, header.height, outcome.header_hash, votes)


def _vote(signer: KeySigner, chain_id: bytes, outcome: ExecutedBlock) -> bytes:
    return sign_checkpoint(signer, chain_id, outcome.header.epoch, outcome.header.height, outcome.header_hash)


def measure_writing(data: Path, target: Path) -> tuple[int, float, float]:
    """Leaves, this thread's seconds of the processor, and of those the ms of the longest slice, of writing the state's snapshot 10 ms at a time."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    # As the executor process does: what making the chain left behind isn't looked through again and again.
    gc.collect()
    gc.freeze()
    with LevelKV.open(data / "state") as state:
        tip = BlockStoreTip(data).header
        writer = SnapshotWriter(state.snapshot(), tip, target, SpaceGuard(target))
        started, longest, done = time.thread_time(), 0.0, False
        while not done:
            at = time.thread_time()
            done = writer.work(SLICE_US)
            longest = max(longest, time.thread_time() - at)
        return writer.leaves, time.thread_time() - started, longest * 1000


class BlockStoreTip:
    """The last header of a directory's block store."""

    def __init__(self, data: Path) -> None:
        with LevelKV.open(data / "blocks") as kv:
            store = BlockStore(kv)
            self.header = store.header(store.height)


def catch_up(net: ToyNetwork, follower: NodeHandle, height: int, lag: int) -> float:
    """Start the follower with empty stores; seconds until it is at `height`."""
    data = follower.directory.data_path
    shutil.rmtree(data)
    DataDirectory.create(data, net.genesis.chain_id)
    config = follower.directory.config()
    settings = StorageSection(snapshot_blocks=0, snapshot_lag=lag)
    changed = NodeConfig(node=config.node, network=config.network, api=config.api, keys=config.keys, storage=settings)
    follower.directory.config_path.write_text(to_toml(changed))
    started = time.monotonic()
    follower.start()
    net.wait_height(height, [follower.name], timeout_s=1_800.0)
    taken = time.monotonic() - started
    follower.kill()
    for line in follower.directory.log_path.read_text().splitlines():
        entry = json.loads(line)
        if str(entry.get("event", "")).startswith("snapshot "):
            print({key: entry[key] for key in ("event", "seconds", "ids_seconds", "sources") if key in entry}, file=sys.stderr)
    return taken


def main() -> None:
    """Make the chain, measure, print."""
    blocks, transactions = int(os.environ.get("BLOCKS", "2000")), int(os.environ.get("TXS", "100"))
    work = ROOT / "build" / "bench-snapshot"
    shutil.rmtree(work, ignore_errors=True)
    net = ToyNetwork(work, followers=[FOLLOWER], parameters=Parameters(), storage=StorageSection(snapshot_blocks=0))
    try:
        maker = Maker(net, blocks, transactions)
        maker.run()
        source = maker.node.directory.data_path
        leaves, write_s, longest_ms = measure_writing(source, work / "trial")
        info = make_snapshot(maker.node.directory.path)
        for node in net.validators[1:]:
            for store in ("blocks", "state"):
                shutil.rmtree(node.directory.data_path / store)
                shutil.copytree(source / store, node.directory.data_path / store)
        net.up([node.name for node in net.validators])
        follower = net.nodes[FOLLOWER]
        snapshot_s = catch_up(net, follower, blocks, 500)
        replay_s = catch_up(net, follower, blocks, 0)
    finally:
        net.down()
    result = Result(
        blocks, blocks * transactions, leaves, info.chunks, info.size_bytes, round(write_s, 2), round(longest_ms, 1), round(replay_s, 1), round(snapshot_s, 1)
    )
    (ROOT / "build" / "bench-snapshot.json").write_text(json.dumps(asdict(result), indent=1) + "\n")
    print(json.dumps(asdict(result), indent=1))
    shutil.rmtree(work)


if __name__ == "__main__":
    main()
