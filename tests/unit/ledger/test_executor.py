from pathlib import Path

import msgspec
import pytest

from carbonnode.chain import values
from carbonnode.chain.batch import NULL_BATCH, Batch, SkipOrder
from carbonnode.chain.codec import decode, encode
from carbonnode.chain.event import Event
from carbonnode.chain.genesis import ContractSource
from carbonnode.chain.hashing import ZERO_HASH
from carbonnode.chain.memory_kv import MemoryKV
from carbonnode.chain.merkle import leaf_hash, tree_head
from carbonnode.chain.receipt import Status
from carbonnode.chain.transaction import Call, Transaction
from carbonnode.errors import ConfigError, InvalidBlock, InvariantViolation, RemoteError, StorageError
from carbonnode.ledger import jobs, layout
from carbonnode.ledger.executor import BlockExecutor
from carbonnode.ledger.results import ExecutedBlock
from carbonnode.ledger.tree_proof import verify_state_proof
from carbonnode.storage import leveldb
from carbonnode.storage.leveldb import LevelKV
from carbonnode.vm.keys import storage_key
from tests.unit.ledger.toy import TOY, Chain, genesis


@pytest.fixture
def chain() -> Chain:
    return Chain()


# Blocks and their headers.


def test_genesis_is_block_0_and_a_pure_function(chain: Chain) -> None:
    block = chain.executor.genesis_block()
    assert block.header.height == 0
    assert block.header.parent == ZERO_HASH
    assert block.header.time_ms == 1_000_000
    assert block.header.validators_hash == chain.genesis.validators.hash
    assert block.header.parameters_hash == chain.genesis.parameters.hash
    assert [receipt.status for receipt in block.receipts] == [Status.OK]
    assert chain.balance("bank") == 1_000_000
    assert Chain().executor.genesis_block() == block


def test_a_block_carries_roots_over_what_it_returns(chain: Chain) -> None:
    transactions = [chain.tx("pay", "bank", "alice", 5), chain.tx("pay", "alice", "bob", 6)]
    block = chain.block(*transactions)
    header = block.header
    assert header.parent == chain.executor.genesis_block().header_hash
    assert block.header_hash == header.hash
    assert block.kept == (0, 1)
    assert header.transactions_root == tree_head([leaf_hash(Transaction.decode(raw).wire_hash) for raw in transactions])
    assert header.receipts_root == tree_head(block.receipt_leaves())
    assert header.events_root == tree_head(block.event_leaves())
    assert [receipt.status for receipt in block.receipts] == [Status.OK, Status.ABORT]
    assert block.receipts[1].code == "TOY-FUNDS"
    assert block.receipts[0].values == (999_995,)
    assert len(set(block.receipt_salts + block.event_salts)) == len(block.receipt_salts + block.event_salts)
    assert decode(block.encoded, ExecutedBlock) == block


def test_block_time_is_the_batch_time_or_a_millisecond_after_the_parent(chain: Chain) -> None:
    assert chain.block(time_ms=1_000_500).header.time_ms == 1_000_500
    assert chain.block(time_ms=1_000_500).header.time_ms == 1_000_501
    assert chain.block(time_ms=5).header.time_ms == 1_000_502


def test_a_null_batch_makes_an_ordinary_empty_block(chain: Chain) -> None:
    block = chain.executor.execute(1, NULL_BATCH, ())
    assert block.header.batch_digest == NULL_BATCH.digest
    assert block.header.time_ms == 1_000_001
    assert block.header.state_root == chain.executor.genesis_block().header.state_root


def test_a_failed_transaction_leaves_no_trace_in_the_state(chain: Chain) -> None:
    before = chain.block().header.state_root
    block = chain.block(chain.tx("pay", "nobody", "x", 1), chain.tx("burn_gas", gas=5000), chain.tx("absent"))
    assert [(receipt.status, receipt.code) for receipt in block.receipts] == [
        (Status.ABORT, "TOY-FUNDS"),
        (Status.OUT_OF_GAS, "vm.out-of-gas"),
        (Status.ABORT, "vm.no-method"),
    ]
    assert _changed(chain, block.header.height) == [layout.SECRET]
    assert block.header.state_root != before


def _changed(chain: Chain, height: int) -> list[bytes]:
    undo = chain.executor._store.undo(height)
    assert undo is not None
    return [key for key, _ in undo.records]


# What belongs to a block.


def test_an_id_runs_once_within_a_block_across_blocks_and_across_restarts(chain: Chain) -> None:
    raw = chain.tx("pay", "bank", "alice", 1)
    block = chain.execute(raw, raw)
    assert block.kept == (0,)
    assert chain.execute(raw).kept == ()
    chain.executor.finalise(1)
    chain.executor.finalise(2)
    chain.executor.flush()
    again = Chain(genesis=chain.genesis, kv=chain.kv)
    assert again.execute(raw).kept == ()
    assert again.balance("alice") == 1


def test_another_signature_of_a_known_body_is_the_same_transaction(chain: Chain) -> None:
    raw = chain.tx("pay", "bank", "alice", 1)
    tx = Transaction.decode(raw)
    twin = encode((tx.body_bytes, bytes(64)))
    assert chain.block(raw, twin).kept == (0,)


def test_a_discarded_block_gives_its_ids_back(chain: Chain) -> None:
    raw = chain.tx("pay", "bank", "alice", 1)
    assert chain.execute(raw).kept == (0,)
    chain.executor.discard_above(0)
    assert chain.execute(raw).kept == (0,)


@pytest.mark.parametrize(("valid_until", "kept"), [(0, False), (1, True), (1 + 20, True), (1 + 21, False)])
def test_valid_until_lies_within_the_window(valid_until: int, kept: bool) -> None:
    chain = Chain(genesis=genesis(validity_blocks=20))
    assert chain.block(chain.tx("pay", "bank", "alice", 1, valid_until=valid_until)).kept == ((0,) if kept else ())


def test_foreign_and_gluttonous_transactions_are_dropped() -> None:
    chain = Chain(genesis=genesis(max_transaction_gas=1_000_000))
    foreign = chain.tx("pay", "bank", "alice", 1, chain_id=b"x" * 32)
    greedy = chain.tx("pay", "bank", "alice", 1, gas=1_000_001)
    assert chain.block(foreign, greedy, chain.tx("pay", "bank", "alice", 1)).kept == (2,)


def test_old_ids_are_forgotten_only_when_they_cannot_come_again() -> None:
    chain = Chain(genesis=genesis(validity_blocks=5))
    raw = chain.tx("pay", "bank", "alice", 1, valid_until=6)
    assert chain.block(raw).kept == (0,)
    for _ in range(5):
        assert chain.block(raw).kept == ()
    assert chain.executor._store.ids(1) is not None
    chain.block()
    assert chain.executor._store.ids(1) is None
    assert len(chain.executor._recent._heights) == 0
    assert chain.block(raw).kept == ()
    assert chain.balance("alice") == 1


# Idempotence, order, discarding.


def test_the_same_batch_again_gives_the_same_block_and_another_is_fatal(chain: Chain) -> None:
    raw = chain.tx("pay", "bank", "alice", 1)
    block = chain.execute(raw)
    assert chain.executor.execute(1, chain.batch([raw]), [raw]) is block
    with pytest.raises(InvariantViolation, match="another batch"):
        chain.executor.execute(1, Batch(5, ()), ())


def test_heights_follow_one_another(chain: Chain) -> None:
    with pytest.raises(InvalidBlock, match="block 0 is the last one executed"):
        chain.executor.execute(2, NULL_BATCH, ())
    with pytest.raises(InvalidBlock, match="isn't the next executed one"):
        chain.executor.finalise(1)
    chain.block()
    with pytest.raises(InvalidBlock, match="final already"):
        chain.executor.execute(1, NULL_BATCH, ())
    assert chain.executor.finalise(1) == 1


def test_stacked_blocks_see_each_other_and_queries_only_what_is_final(chain: Chain) -> None:
    for amount in (10, 20, 30):
        chain.execute(chain.tx("pay", "bank", "alice", amount))
    chain.execute(chain.tx("pay", "alice", "bob", 60))
    assert chain.balance("alice") == 0
    chain.executor.finalise(1)
    assert chain.balance("alice") == 10
    for height in (2, 3, 4):
        chain.executor.finalise(height)
    assert (chain.balance("alice"), chain.balance("bob")) == (0, 60)


def test_discarding_restores_the_state_and_refuses_final_heights(chain: Chain) -> None:
    chain.block(chain.tx("pay", "bank", "alice", 10))
    first = chain.execute(chain.tx("pay", "bank", "alice", 5))
    chain.execute(chain.tx("pay", "bank", "alice", 7))
    with pytest.raises(InvalidBlock, match="is final"):
        chain.executor.discard_above(0)
    chain.executor.discard_above(1)
    assert chain.executor.executed == 1
    batch, transactions = chain.blocks[1]
    assert chain.executor.execute(2, batch, transactions) == first


def replayed(chain: Chain) -> list[ExecutedBlock]:
    executor = BlockExecutor(MemoryKV(), chain.genesis, flush_blocks=3, cache_bytes=2_000)
    blocks: list[ExecutedBlock] = []
    for height, (batch, transactions) in enumerate(chain.blocks, 1):
        blocks.append(executor.execute(height, batch, transactions))
        executor.finalise(height)
    return blocks


def busy_chain() -> tuple[Chain, list[ExecutedBlock]]:
    chain, blocks = Chain(), []
    for number in range(12):
        transactions = [chain.tx("pay", "bank", f"a{index}", 1 + number) for index in range(number % 5)]
        transactions.append(chain.tx("pay", f"a{number % 3}", "bob", 1))
        transactions.append(chain.tx("list_order", number % 2, number, "me"))
        transactions.append(chain.tx("take_best", number % 2))
        transactions.append(chain.tx("later", 1_000_000 + 700 * number, number - 3))
        blocks.append(chain.block(*transactions, time_ms=1_000_000 + 400 * number))
    return chain, blocks


def test_replay_gives_equal_blocks_whatever_the_caches_and_flushes() -> None:
    chain, blocks = busy_chain()
    assert sum(block.job_count for block in blocks) > 3
    assert replayed(chain) == blocks


def test_replay_of_kept_transactions_alone_gives_equal_blocks() -> None:
    chain = Chain()
    twice = chain.tx("pay", "bank", "alice", 1)
    blocks = [chain.block(twice, chain.tx("pay", "bank", "bob", 2)), chain.block(chain.tx("pay", "bank", "bob", 3), twice)]
    again = BlockExecutor(MemoryKV(), chain.genesis)
    for block, (batch, transactions) in zip(blocks, chain.blocks, strict=True):
        found = again.execute(block.header.height, batch, [transactions[index] for index in block.kept])
        assert found.header_hash == block.header_hash


def test_a_lost_executor_goes_on_from_what_was_flushed() -> None:
    chain, blocks = busy_chain()
    kv = MemoryKV()
    executor = BlockExecutor(kv, chain.genesis, flush_blocks=4)
    for height, (batch, transactions) in enumerate(chain.blocks[:7], 1):
        executor.execute(height, batch, transactions)
        executor.finalise(height)
    reopened = BlockExecutor(kv, chain.genesis)
    status = reopened.status()
    assert (status.height, status.header_hash) == (4, blocks[3].header_hash)
    assert status.state_root == blocks[3].header.state_root
    for height in range(5, 13):
        batch, transactions = chain.blocks[height - 1]
        assert reopened.execute(height, batch, transactions) == blocks[height - 1]
        reopened.finalise(height)


# Opening.


def test_a_foreign_genesis_is_refused(chain: Chain) -> None:
    with pytest.raises(ConfigError, match="holds the chain"):
        BlockExecutor(chain.kv, genesis(supply=5))


def test_a_changed_root_node_is_refused_at_opening(chain: Chain) -> None:
    chain.block(chain.tx("pay", "bank", "alice", 1))
    raw = chain.kv.get(layout.NODE)
    assert raw is not None
    chain.kv.write([(layout.NODE, raw[:-1] + bytes([raw[-1] ^ 1]) if len(raw) < 40 else raw[:10] + bytes([raw[10] ^ 1]) + raw[11:])])
    with pytest.raises(StorageError, match="root isn't the one recorded"):
        BlockExecutor(chain.kv, chain.genesis)


def test_a_damaged_tip_is_refused(chain: Chain) -> None:
    chain.kv.write([(layout.TIP, b"\x93\x01")])
    with pytest.raises(StorageError, match="tip"):
        BlockExecutor(chain.kv, chain.genesis)


def test_the_state_lives_in_leveldb_too(tmp_path: Path) -> None:
    leveldb.create(tmp_path / "state")
    chain, blocks = busy_chain()
    with LevelKV.open(tmp_path / "state") as kv:
        executor = BlockExecutor(kv, chain.genesis, flush_blocks=2)
        for height, (batch, transactions) in enumerate(chain.blocks, 1):
            assert executor.execute(height, batch, transactions) == blocks[height - 1]
            executor.finalise(height)
    with LevelKV.open(tmp_path / "state") as kv:
        executor = BlockExecutor(kv, chain.genesis)
        assert executor.status().height == 12
        assert executor.query("toy", "balance", ("bob",)).value == chain.balance("bob")


# Genesis that doesn't hold.


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"contracts": (ContractSource("toy", "import os\n"),)}, "refused"),
        ({"calls": (Call("toy", "setup", (1, 2)),)}, "toy.setup"),
        ({"calls": (Call("toy", "setup", (5,)), Call("toy", "pay", ("x", "y", 1)))}, "TOY-FUNDS"),
        ({"calls": ()}, "@init with parameters"),
        ({"contracts": (ContractSource("Bad Name", TOY),)}, "name"),
    ],
)
def test_a_genesis_that_does_not_execute_names_the_culprit(change: dict[str, object], message: str) -> None:
    wrong = genesis()
    for name, value in change.items():
        setattr(wrong, name, value)
    with pytest.raises(ConfigError, match=message):
        BlockExecutor(MemoryKV(), wrong)


# Events.


def test_events_count_up_for_each_audience_and_heads_are_provable(chain: Chain) -> None:
    events: list[Event] = []
    for _ in range(3):
        block = chain.block(chain.tx("pay", "bank", "alice", 2), chain.tx("pay", "alice", "bob", 1))
        events += block.events
        for receipt in block.receipts:
            assert {event.tx_id for event in block.events[receipt.event_index :][: receipt.event_count]} == {receipt.tx_id, b""}
    for audience in ("alice", "bob", "bank", ""):
        mine = [event.sequence for event in events if event.to == audience]
        assert mine == list(range(1, len(mine) + 1))
        proof = chain.executor.prove(layout.sequence_key(audience))
        assert verify_state_proof(proof, block.header.state_root) == (True, len(mine))
    public = [event for event in events if event.to == ""]
    assert all(event.tx_id == b"" and event.fields for event in public)
    assert all("to" not in dict(event.fields) for event in events)


def test_an_event_with_an_integer_beyond_64_bits() -> None:
    source = '"""Big."""\n\n\n@export\ndef big(n: int) -> int:\n    emit("Big", n=n * n)\n    return n * n\n'
    chain = Chain(genesis=genesis(more=(ContractSource("big", source),)))
    block = chain.block(chain.tx("big", 1 << 100, contract="big"))
    assert values.from_wire(dict(block.events[0].fields)["n"]) == 1 << 200
    assert values.from_wire(block.receipts[0].values[0]) == 1 << 200
    assert decode(block.encoded, ExecutedBlock).header == block.header


# Jobs.


def test_jobs_run_in_time_order_before_transactions_once_and_at_market_time(chain: Chain) -> None:
    chain.block(chain.tx("later", 1_002_000, 2), chain.tx("later", 1_001_000, 1), chain.tx("later", 1_002_000, 4))
    assert chain.block(time_ms=1_000_999).job_count == 0
    block = chain.block(chain.tx("pay", "bank", "alice", 1), time_ms=1_002_000)
    assert block.job_count == 3
    assert [dict(event.fields)["amount"] for event in block.events if event.name == "Ticked"] == [1, 2, 4]
    assert block.receipts[3].tx_id == Transaction.decode(chain.blocks[-1][1][0]).id
    assert block.next_job_ms is None
    assert chain.block(time_ms=1_003_000).job_count == 0
    assert chain.executor.query("toy", "ticked", ()).value == 7


def test_a_failing_job_is_a_receipt_and_never_comes_back(chain: Chain) -> None:
    first = chain.block(chain.tx("later", 1_000_100, -1))
    assert first.next_job_ms == 1_000_100
    block = chain.block(time_ms=1_000_100)
    assert [(receipt.status, receipt.code) for receipt in block.receipts] == [(Status.ABORT, "TOY-NEGATIVE")]
    assert chain.block(time_ms=1_000_200).job_count == 0


def test_jobs_beyond_the_blocks_budget_wait_for_the_next() -> None:
    chain = Chain(genesis=genesis(job_gas=100_000, jobs_block_gas=250_000))
    chain.block(*[chain.tx("later", 1_000_100, -1) for _ in range(5)])
    assert [chain.block(time_ms=1_000_100 + step).job_count for step in range(3)] == [2, 2, 1]


def test_a_job_for_a_time_that_is_past_waits_for_the_next_block_and_for_those_before_it() -> None:
    chain = Chain(genesis=genesis(job_gas=100_000, jobs_block_gas=100_000))
    chain.block(chain.tx("later", 0, 1), chain.tx("later", 0, 2), chain.tx("later", 1_000_050, 3), time_ms=1_000_010)
    blocks = [chain.block(chain.tx("later", 0, 4), time_ms=1_000_060)] + [chain.block(time_ms=1_000_060 + step) for step in (10, 20, 30)]
    assert [[dict(event.fields)["amount"] for event in block.events if event.name == "Ticked"] for block in blocks] == [[1], [2], [3], [4]]


def test_a_contract_has_so_many_scheduled_calls_waiting_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "MAX_WAITING", 3)
    chain = Chain()
    block = chain.block(*[chain.tx("later", 1_000_100 + number, 1) for number in range(5)])
    assert [(receipt.status, receipt.code) for receipt in block.receipts] == [(Status.OK, "")] * 3 + [(Status.ABORT, "chain.jobs")] * 2
    assert chain.block(time_ms=1_000_100).job_count == 1
    block = chain.block(chain.tx("later", 1_000_500, 1), chain.tx("later", 1_000_500, 1), time_ms=1_000_100)
    assert [receipt.code for receipt in block.receipts if receipt.code] == []
    assert chain.block(time_ms=1_000_600).job_count == 3
    assert jobs.waiting(chain.executor._state, "toy") == 0


# Invariants.


def test_a_broken_invariant_stops_loudly_and_keeps_nothing(chain: Chain) -> None:
    root = chain.block(chain.tx("pay", "bank", "alice", 1)).header.state_root
    with pytest.raises(InvariantViolation, match=r"block 2: the invariant toy\.conserved answers False"):
        chain.execute(chain.tx("pay", "bank", "alice", 1), chain.tx("mint", 100))
    assert chain.executor.executed == 1
    assert chain.executor.status().state_root == root
    chain.block(chain.tx("pay", "bank", "alice", 1))
    assert chain.balance("alice") == 2


def test_an_invariant_that_cannot_be_asked_counts_as_broken() -> None:
    with pytest.raises(InvariantViolation, match=r"vm\.no-method"):
        BlockExecutor(MemoryKV(), genesis(invariants=(("toy", "absent"),)))


# Skip orders.


def test_a_skipped_transaction_gets_its_receipt_without_running(chain: Chain) -> None:
    bad, good = chain.tx("pay", "bank", "alice", 1), chain.tx("pay", "bank", "bob", 1)
    order = SkipOrder(1, Transaction.decode(bad).id, ((0, b"s" * 64),))
    other_height = msgspec.structs.replace(order, height=2)
    block = chain.executor.execute(1, chain.batch([bad, good]), [bad, good], (order, other_height))
    assert [receipt.status for receipt in block.receipts] == [Status.ABORTED_BY_QUORUM, Status.OK]
    assert block.header.skip_orders == (msgspec.structs.replace(order, votes=()),)
    chain.executor.finalise(1)
    assert (chain.balance("alice"), chain.balance("bob")) == (0, 1)


# Views, past states, proofs.


def test_views_answer_for_past_heights_and_refuse_others(chain: Chain) -> None:
    for _ in range(5):
        chain.block(chain.tx("pay", "bank", "alice", 10))
    assert [chain.balance("alice", height) for height in range(6)] == [0, 10, 20, 30, 40, 50]
    assert chain.executor.query("toy", "clock", (), height=3).value == [1, 1_000_003, 3]
    with pytest.raises(RemoteError) as caught:
        chain.balance("alice", 6)
    assert caught.value.code == "not-found"
    absent = chain.executor.query("toy", "absent", ())
    assert (absent.status, absent.code) == (Status.ABORT, "vm.no-method")


def test_ordered_reads_at_past_heights(chain: Chain) -> None:
    chain.block(chain.tx("list_order", 7, 1, "a"), chain.tx("list_order", 7, 2, "b"))
    chain.block(chain.tx("take_best", 7))
    chain.block(chain.tx("take_best", 7), chain.tx("list_order", 7, 0, "c"))

    def best(height: int) -> object:
        return chain.executor.query("toy", "best", (7,), height=height).value

    assert [best(height) for height in range(4)] == [-1, 1, 2, 0]


def test_undone_history_is_pruned_and_says_so() -> None:
    chain = Chain(genesis=genesis(undo_blocks=3))
    for _ in range(8):
        chain.block(chain.tx("pay", "bank", "alice", 1))
    assert chain.executor.status().oldest_queryable == 5
    assert chain.balance("alice", 5) == 5
    with pytest.raises(RemoteError, match="from 5 on") as caught:
        chain.balance("alice", 4)
    assert caught.value.code == "pruned"


def test_proofs_hold_at_every_kept_height() -> None:
    chain, blocks = busy_chain()
    key = storage_key("toy", "balances", ("bob",))
    for block in blocks:
        proof = chain.executor.prove(key, block.header.height)
        present, value = verify_state_proof(proof, block.header.state_root)
        assert (value if present else 0) == chain.balance("bob", block.header.height)
        with pytest.raises(InvalidBlock):
            verify_state_proof(proof, ZERO_HASH)


def test_abi_and_contracts_are_read_from_the_certified_state(chain: Chain) -> None:
    abi = chain.executor.abi("toy")
    assert abi is not None
    method = abi.method("pay", "export")
    assert method is not None
    assert method.parameters == (("source", "str"), ("to", "str"), ("amount", "int"))
    assert abi.method("setup", "init") is not None
    assert chain.executor.abi("none") is None
    assert chain.executor.contracts() == ("toy",)


def test_leaf_salts_are_secret_in_their_nonce() -> None:
    one, two = Chain(), Chain()
    two.sent = 77
    first, second = one.block(one.tx("pay", "bank", "alice", 1)), two.block(two.tx("pay", "bank", "alice", 1))
    assert first.receipts[0].values == second.receipts[0].values
    assert first.header.state_root != second.header.state_root
    assert set(first.event_salts).isdisjoint(second.event_salts)
