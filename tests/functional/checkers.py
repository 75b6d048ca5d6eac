"""What must hold of a network of real processes, whatever was done to it: the simulator's checks, on what each node certified, voted and said.

`check_stopped` reads the stores, journals and logs of stopped nodes: agreement (one header at each height), prefix order (a hash chain without
gaps), equal roots (the header binds them), certificates, at-most-once execution, valid signatures, no double vote, and no honest node that
blamed or banned another honest one. `check_sums` asks a running node for what the toy contract must conserve.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from carbonnode.chain.batch import Batch
from carbonnode.chain.certificate import verify_certificate
from carbonnode.chain.transaction import Transaction
from carbonnode.chain.validators import ValidatorSet
from carbonnode.consensus.evidence import CHECKPOINT
from carbonnode.consensus.journal import Voted, decode_record
from carbonnode.node.bodies import RECORD_MARK
from carbonnode.node.changes import ChangeFile
from carbonnode.storage.blocks import BlockStore, StoredBlock
from carbonnode.storage.journal import segment_paths
from carbonnode.storage.journal_format import scan
from carbonnode.storage.leveldb import LevelKV

if TYPE_CHECKING:
    from tests.functional.harness import NodeHandle, ToyNetwork

Chain = Mapping[int, StoredBlock]
"""Blocks by height, ascending: from genesis, or from where a snapshot began."""
FAULT_EVENTS = ("peer at fault", "peer down", "refused", "alarm", "evidence")


def check_stopped(net: "ToyNetwork") -> None:
    """Everything that stopped nodes left on disk. Raises `AssertionError` that names node, height and difference."""
    validators = [node for node in net.validators if node.process is None and node.name not in net.ruined]
    chains = {node.name: read_chain(node) for node in validators}
    check_agreement(chains)
    certified = {height: block for chain in chains.values() for height, block in chain.items()}
    check_blocks(certified, known_sets(net, validators), net.genesis.chain_id)
    for node in validators:
        if node.name not in net.suspects:
            check_votes(node.name, journal_votes(node), certified)
    for node in net.nodes.values():
        if node.name not in net.suspects:
            check_log(node.name, log_events(node.directory.log_path), net.suspects)


def read_chain(node: "NodeHandle") -> Chain:
    """All blocks that a stopped validator certified, checked to be a hash chain without gaps."""
    path = node.directory.data_path / "blocks"
    if not path.exists():
        return {}
    with LevelKV.open(path) as kv:
        store = BlockStore(kv)
        if store.height < 0:
            return {}
        store.verify_chain(0)
        return {height: store.block(height) for height in range(store.first, store.height + 1)}


def check_agreement(chains: Mapping[str, Chain]) -> None:
    """Agreement and prefix order: what two nodes certified at a height is the same, byte for byte but for the certificate."""
    agreed: dict[int, tuple[str, StoredBlock]] = {}
    for name, chain in chains.items():
        for height, block in chain.items():
            assert block.header.height == height, f"{name} holds height {block.header.height} in place of {height}"
            other, first = agreed.setdefault(height, (name, block))
            what = f"at height {height}, {other} and {name}"
            assert first.header_hash == block.header_hash, f"fork: {what} certified {first.header_hash.hex()} and {block.header_hash.hex()}"
            assert first.header.state_root == block.header.state_root, f"{what} hold different state roots"
            assert (first.batch, first.transactions, first.outcome) == (block.batch, block.transactions, block.outcome), f"{what} stored different content"


def known_sets(net: "ToyNetwork", nodes: Sequence["NodeHandle"]) -> dict[bytes, ValidatorSet]:
    """Validator sets by hash: genesis and every set that a node recorded."""
    sets = [net.genesis.validators]
    for node in nodes:
        if node.directory.data_path.exists():
            sets += [ValidatorSet(change.validators, net.genesis.validators.profile) for change in ChangeFile(node.directory.data_path).changes]
    return {validators.hash: validators for validators in sets}


def check_blocks(chain: Chain, sets: Mapping[bytes, ValidatorSet], chain_id: bytes) -> None:
    """Certificates, batch digests, signatures, and that no transaction was executed twice."""
    executed: dict[bytes, int] = {}
    for height, block in sorted(chain.items()):
        if height == 0:
            continue  # genesis: trusted, uncertified
        assert block.certificate is not None, f"height {height} has no certificate"
        assert (block.certificate.height, block.certificate.header_hash) == (height, block.header_hash), f"the certificate of height {height} is another's"
        verify_certificate(block.certificate, sets[block.header.validators_hash], chain_id)
        assert Batch.decode(block.batch).digest == block.header.batch_digest, f"the batch of height {height} isn't the header's"
        for raw in block.transactions:
            transaction = Transaction.decode(raw)
            assert transaction.verify_signature(), f"height {height} executes {transaction.id.hex()}, whose signature doesn't verify"
            before = executed.get(transaction.id)
            assert before is None, f"transaction {transaction.id.hex()} was executed at height {before} and again at {height}"
            executed[transaction.id] = height


def journal_votes(node: "NodeHandle") -> Iterator[Voted]:
    """The votes that a stopped node's journal still holds; read without touching it."""
    directory = node.directory.data_path / "journal"
    for path in segment_paths(directory) if directory.exists() else []:
        found = scan(path.read_bytes())
        assert not found.damaged, f"{path} is damaged at byte {found.end}"
        for record in found.records:
            if not record.data.startswith(RECORD_MARK):
                vote = decode_record(record.data)
                if isinstance(vote, Voted):
                    yield vote


def check_votes(name: str, votes: Iterator[Voted], chain: Chain) -> None:
    """No double vote; and nobody vouched for another header than the certified one."""
    given: dict[tuple[str, int, int, int], bytes] = {}
    for vote in votes:
        place = (vote.kind, vote.epoch, vote.view, vote.height)
        before = given.setdefault(place, vote.digest)
        assert before == vote.digest, f"double vote: {name} signed {before.hex()} and {vote.digest.hex()} for {place}"
        if vote.kind == CHECKPOINT and vote.height in chain:
            certified = chain[vote.height].header_hash
            assert vote.digest == certified, f"{name} signed the header {vote.digest.hex()} at height {vote.height}, certified is {certified.hex()}"


def log_events(path: Path) -> Iterator[dict[str, Any]]:
    """The log's lines that speak of faults, oldest first, older files included."""
    for file in sorted(path.parent.glob(f"{path.name}*"), reverse=True):
        for line in file.read_bytes().splitlines():
            if any(f'"event":"{event}"'.encode() in line for event in FAULT_EVENTS):
                yield msgspec.json.decode(line)


def check_log(name: str, events: Iterator[dict[str, Any]], suspects: set[str]) -> None:
    """No honest node blamed or banned another honest one, held evidence against one, or found itself wrong."""
    for event in events:
        kind, peer = event["event"], event.get("peer")
        if kind == "peer at fault":
            assert peer in suspects, f"{name} blamed the honest {peer}: {event}"
        elif kind == "peer down":
            assert event["reason"] != "violation" or peer in suspects, f"{name} dropped the honest {peer} for a violation: {event}"
        elif kind == "refused":
            assert event["code"] != "banned" or suspects, f"an honest node is banned, says {name}: {event}"
        elif kind == "evidence":
            assert suspects, f"{name} holds evidence against an honest node: {event}"
        else:
            assert suspects or event["code"] not in ("divergence", "nondeterminism"), f"{name} raised an alarm without cause: {event}"


def check_sums(net: "ToyNetwork", node: "NodeHandle", supply: int) -> None:
    """The balances of all who were ever paid add up, on this running node at one height, to what was made."""
    height = node.height
    total = sum(net.query(node, "balance", key, height=height) for key in sorted(net.holders))
    assert total == supply, f"{node.name}: balances at height {height} add up to {total}, {supply} were made"
