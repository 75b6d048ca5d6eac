"""Proofs of faults on disk, and when a waiting epoch is told to consensus."""

import errno
from pathlib import Path

import pytest

from carbonnode.chain.fault_proof import parse_fault_proof, verify_fault_proof
from carbonnode.chain.genesis import Parameters
from carbonnode.chain.proof import ValidatorChange
from carbonnode.consensus.config import EpochConfig
from carbonnode.consensus.evidence import PREPARE, Evidence, equivocation
from carbonnode.consensus.messages import prepare_bytes
from carbonnode.node import fault_store
from carbonnode.node.driver import decided
from carbonnode.node.fault_store import MOST_A_SIGNER, FaultStore
from tests.unit.node.chain_kit import SIGNERS, Chain, make_genesis

GENESIS = make_genesis()
CHAIN = GENESIS.chain_id


def fault(height: int = 5, signer: int = 2, epoch: int = 0) -> Evidence:
    one, other = [(digest, SIGNERS[signer].sign(prepare_bytes(CHAIN, epoch, 1, height, digest))) for digest in (b"a" * 32, b"b" * 32)]
    return equivocation(PREPARE, epoch, 1, height, signer, one, other)


def test_a_proof_outlives_the_process_and_convinces_who_has_the_genesis(tmp_path: Path) -> None:
    store = FaultStore(tmp_path / "evidence", CHAIN)
    path = store.add(fault(), ())
    assert path is not None
    assert store.add(fault(), ()) is None
    again = FaultStore(tmp_path / "evidence", CHAIN)
    assert (len(again), again.files) == (1, (path,))
    assert again.add(fault(), ()) is None
    verified = verify_fault_proof(parse_fault_proof(path.read_bytes()), GENESIS)
    assert verified.validator.name == "coordination-1"


def test_a_flood_by_one_signer_fills_no_disk(tmp_path: Path) -> None:
    store = FaultStore(tmp_path / "evidence", CHAIN)
    written = [store.add(fault(height), ()) for height in range(1, 3 * MOST_A_SIGNER)]
    assert sum(path is not None for path in written) == len(store) == MOST_A_SIGNER
    assert store.add(fault(1, signer=1), ()) is not None


def test_a_proof_that_came_before_its_change_of_validators_was_stored_gets_it(tmp_path: Path) -> None:
    store = FaultStore(tmp_path / "evidence", CHAIN)
    old, new = store.add(fault(), ()), store.add(fault(60, epoch=1), ())
    assert old is not None
    assert new is not None
    stored = Chain(GENESIS).grow().stored
    assert stored.certificate is not None
    change = ValidatorChange(stored.header.encoded, stored.certificate, GENESIS.validators.validators)
    store.set_changed(1, (change,))
    assert parse_fault_proof(new.read_bytes()).validator_changes == (change,)
    assert parse_fault_proof(old.read_bytes()).validator_changes == ()


def test_a_full_disk_loses_a_proof_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FaultStore(tmp_path / "evidence", CHAIN)

    def full(_path: Path, _data: bytes) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(fault_store, "write_durably", full)
    assert store.add(fault(), ()) is None
    assert (len(store), store.lost) == (0, 1)
    monkeypatch.undo()
    assert store.add(fault(), ()) is not None


def test_a_file_that_is_no_proof_is_named_and_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "odd.json").write_text("{}")
    store = FaultStore(tmp_path, CHAIN)
    assert (store.unreadable, len(store)) == ([tmp_path / "odd.json"], 0)
    assert store.add(fault(), ()) is not None


@pytest.mark.parametrize(("now", "then"), [(32, 8), (8, 32), (16, 16)])
def test_a_waiting_epoch_is_told_a_window_of_the_epoch_in_force_before_its_start(now: int, then: int) -> None:
    current = EpochConfig(0, 1, GENESIS.validators, Parameters(window=now))
    waiting = EpochConfig(1, 100, GENESIS.validators, Parameters(window=then))
    assert decided(waiting, 100 - now - 1, current) is None
    assert decided(waiting, 100 - now, current) is waiting
    assert decided(None, 99, current) is None
