"""The checkers of real networks bite: each is given a small network's remains with one thing wrong in them. No process is started here."""

from pathlib import Path

import pytest

from carbonnode.chain.batch import Batch
from carbonnode.chain.certificate import Certificate, sign_checkpoint
from carbonnode.chain.hashing import ZERO_HASH
from carbonnode.chain.header import Header
from carbonnode.chain.transaction import Body, Call, Transaction
from carbonnode.chain.validators import Validator, ValidatorSet
from carbonnode.consensus.evidence import CHECKPOINT, PREPARE
from carbonnode.consensus.journal import Voted
from carbonnode.errors import InvalidBlock
from carbonnode.storage.blocks import StoredBlock
from tests.functional.checkers import check_agreement, check_blocks, check_log, check_votes, log_events
from tests.functional.harness import signer

CHAIN = b"c" * 32
SIGNERS = [signer(f"validator {number}") for number in range(4)]
VOTERS = ValidatorSet(tuple(Validator(f"v{n}", "super", key.public_key, signer(f"transport {n}").public_key) for n, key in enumerate(SIGNERS)))
SETS = {VOTERS.hash: VOTERS}


def payment(nonce: int) -> Transaction:
    body = Body(CHAIN, SIGNERS[0].public_key, nonce.to_bytes(16, "big"), 100, 1_000, (Call("toy", "transfer", (b"x", 1)),))
    return Transaction.sign(body, SIGNERS[0])


def block(parent: StoredBlock | None, transactions: list[Transaction], root: bytes = ZERO_HASH, voters: int = 3) -> StoredBlock:
    height = 0 if parent is None else parent.header.height + 1
    batch = Batch(1_000 + height, tuple(tx.wire_hash for tx in transactions))
    header = Header(
        version=1, chain_id=CHAIN, epoch=0, height=height, parent=ZERO_HASH if parent is None else parent.header_hash, batch_digest=batch.digest,
        time_ms=batch.time_ms, transactions_root=ZERO_HASH, receipts_root=ZERO_HASH, events_root=ZERO_HASH, state_root=root,
        validators_hash=VOTERS.hash, next_validators_hash=VOTERS.hash, parameters_hash=ZERO_HASH, skip_orders=(),
    )
    votes = tuple((n, sign_checkpoint(SIGNERS[n], CHAIN, 0, height, header.hash)) for n in range(voters))
    certificate = None if parent is None else Certificate(0, height, header.hash, votes)
    return StoredBlock(header, header.hash, batch.encoded, tuple(tx.raw for tx in transactions), b"", certificate)


def chain(*blocks: StoredBlock) -> dict[int, StoredBlock]:
    return dict(enumerate(blocks))


ZERO = block(None, [])
ONE = block(ZERO, [payment(1)])


def test_a_sound_chain_passes() -> None:
    two = block(ONE, [payment(2)])
    check_agreement({"a": chain(ZERO, ONE, two), "b": chain(ZERO, ONE)})
    check_blocks(chain(ZERO, ONE, two), SETS, CHAIN)
    check_votes("a", iter([Voted(CHECKPOINT, 0, 0, 1, ONE.header_hash, b"")]), chain(ZERO, ONE, two))


def test_a_fork_is_found() -> None:
    with pytest.raises(AssertionError, match="fork: at height 1, a and b"):
        check_agreement({"a": chain(ZERO, ONE), "b": chain(ZERO, block(ZERO, [payment(2)]))})


def test_a_second_execution_is_found() -> None:
    with pytest.raises(AssertionError, match="executed at height 1 and again at 2"):
        check_blocks(chain(ZERO, ONE, block(ONE, [payment(1)])), SETS, CHAIN)
    with pytest.raises(InvalidBlock, match="names a transaction twice"):
        check_blocks(chain(ZERO, block(ZERO, [payment(1), payment(1)])), SETS, CHAIN)


def test_a_thin_certificate_and_a_forged_signature_are_found() -> None:
    with pytest.raises(InvalidBlock, match="2 votes, a quorum of 4 validators is 3"):
        check_blocks(chain(ZERO, block(ZERO, [], voters=2)), SETS, CHAIN)
    good = payment(1)
    forged = Transaction.decode(good.raw[:-64] + bytes(64))
    with pytest.raises(AssertionError, match="signature doesn't verify"):
        check_blocks(chain(ZERO, block(ZERO, [forged])), SETS, CHAIN)


def test_double_votes_and_wrong_roots_are_found() -> None:
    with pytest.raises(AssertionError, match="double vote: a"):
        check_votes("a", iter([Voted(PREPARE, 0, 0, 1, b"1", b""), Voted(PREPARE, 0, 0, 1, b"2", b"")]), chain(ZERO, ONE))
    with pytest.raises(AssertionError, match="certified is"):
        check_votes("a", iter([Voted(CHECKPOINT, 0, 0, 1, b"2" * 32, b"")]), chain(ZERO, ONE))


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"event":"peer at fault","peer":"b","points":20}', "blamed the honest b"),
        ('{"event":"peer down","peer":"b","reason":"violation"}', "dropped the honest b"),
        ('{"event":"refused","address":"127.0.0.1:1","code":"banned"}', "an honest node is banned"),
        ('{"event":"evidence","kind":"prepare","signer":1}', "evidence against an honest node"),
        ('{"event":"alarm","code":"divergence"}', "an alarm without cause"),
    ],
)
def test_blame_among_honest_nodes_is_found_in_the_logs(tmp_path: Path, line: str, says: str) -> None:
    log = tmp_path / "node.log"
    log.write_text('{"event":"block","height":1}\n')
    log.with_name("node.log.1").write_text(line + "\n")
    with pytest.raises(AssertionError, match=says):
        check_log("a", log_events(log), set())
    check_log("a", log_events(log), {"b"})
