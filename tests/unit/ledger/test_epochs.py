"""Decisions of a small `rules` contract become epochs: parameters, code and validators change at a height that everyone knows long before."""

import pytest

from carbonnode.chain.genesis import ContractSource
from carbonnode.chain.hashing import blake2b_256
from carbonnode.chain.memory_kv import MemoryKV
from carbonnode.chain.receipt import Status
from carbonnode.chain.signing import KeySigner
from carbonnode.chain.validators import Validator, ValidatorSet
from carbonnode.chain.values import Value
from carbonnode.ledger import layout
from carbonnode.ledger.executor import BlockExecutor
from carbonnode.ledger.results import ExecutedBlock
from carbonnode.vm.gas import SCHEDULES, GasSchedule
from tests.unit.ledger.toy import TOY, Chain, genesis

RULES = '''"""Rules that obey anyone."""
decided = Map(int, tuple)
code = Map(str, int, str)
details = Map(int, tuple)
submitted = Map(int, tuple)
count = Var(int)
clock_offset_ms = Var(int)


@init
def setup() -> None:
    count.set(0)
    clock_offset_ms.set(0)


@export
def decide(height: int, kind: str, subject: str, key: str, value: int, note: str) -> None:
    decided[count.get()] = (height, kind, subject, key, value, note)
    count.set(count.get() + 1)


@export
def upload(source_hash: str, part: int, text: str) -> None:
    code[source_hash, part] = text


@export
def describe(number: int, items: tuple) -> None:
    details[number] = items


@export
def move(offset_ms: int) -> None:
    clock_offset_ms.set(offset_ms)
'''
NEW_TOY = TOY.replace("return balances.get(owner, 0)", "return 2 * balances.get(owner, 0)")


@pytest.fixture
def chain() -> Chain:
    return Chain(genesis=genesis(more=(ContractSource("rules", RULES),), epoch_blocks=10, window=5))


def decide(chain: Chain, height: int, kind: str, subject: str = "", key: str = "", value: int = 0, note: str = "") -> ExecutedBlock:
    block = chain.block(chain.tx("decide", height, kind, subject, key, value, note, contract="rules"))
    assert block.receipts[-1].status == Status.OK, block.receipts[-1].code
    return block


def change_validators(chain: Chain, height: int, *changes: Value) -> ExecutedBlock:
    number = chain.sent
    chain.block(chain.tx("describe", number, tuple(changes), contract="rules"))
    return decide(chain, height, "validators", value=number)


def run_to(chain: Chain, height: int) -> ExecutedBlock:
    block = chain.block()
    while block.header.height < height:
        block = chain.block()
    return block


def outcome(chain: Chain, number: int) -> Value:
    return chain.executor.value(layout.OUTCOMES + number.to_bytes(8, "big"))


def test_a_parameter_changes_at_the_decided_height(chain: Chain) -> None:
    block = decide(chain, 20, "chain", key="block_interval_ms", value=150)
    assert block.next_epoch is not None
    assert (block.next_epoch.number, block.next_epoch.first_height) == (1, 20)
    assert block.next_epoch.parameters.block_interval_ms == 150
    before = run_to(chain, 19)
    assert before.header.epoch == 0
    assert before.header.parameters_hash == chain.genesis.parameters.hash
    first = chain.block()
    assert (first.header.height, first.header.epoch) == (20, 1)
    assert first.header.parameters_hash == block.next_epoch.parameters.hash
    assert first.next_epoch is None
    assert chain.executor.epochs()[0] == block.next_epoch


def test_a_gas_schedule_takes_effect_at_its_epoch_and_old_blocks_replay_with_theirs(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    dearer = {**SCHEDULES, 2: GasSchedule(version=2, write=SCHEDULES[1].write + 1000)}
    monkeypatch.setattr("carbonnode.ledger.epochs.SCHEDULES", dearer)
    monkeypatch.setattr("carbonnode.ledger.executor.SCHEDULES", dearer)
    decide(chain, 20, "chain", key="gas_schedule", value=2)
    used = {height: chain.block(chain.tx("pay", "bank", "ann", 1)).receipts[-1].gas_used for height in range(2, 24)}
    # The first payment makes an account, the others change it: both write twice.
    assert {used[height] for height in range(3, 20)} == {used[19]}
    assert {used[height] for height in range(20, 24)} == {used[19] + 2000}
    again = BlockExecutor(MemoryKV(), chain.genesis, flush_blocks=1)
    for height, (batch, transactions) in enumerate(chain.blocks, 1):
        again.execute(height, batch, transactions)
        again.finalise(height)
    assert again.status() == chain.executor.status()


def test_a_gas_schedule_that_nobody_has_changes_nothing(chain: Chain) -> None:
    decide(chain, 20, "chain", key="gas_schedule", value=99)
    run_to(chain, 21)
    assert outcome(chain, 0) == "epoch.malformed"
    assert chain.executor.epochs()[0].parameters.gas_schedule == 1


def test_no_vote_leads_to_validators_and_parameters_whose_messages_dont_fit() -> None:
    chain = Chain(genesis=genesis(more=(ContractSource("rules", RULES),), epoch_blocks=5_000, window=1_950))
    key = KeySigner(b"k" * 32).public_key
    seven = tuple(("set", f"v{n}", "super", KeySigner(bytes([n + 1]) * 32).public_key, KeySigner(bytes([n + 50]) * 32).public_key) for n in range(7))
    change_validators(chain, 20, *seven)
    assert outcome(chain, 0) == "epoch.messages-too-long"
    change_validators(chain, 6_000, ("add", "v9", "super", key, KeySigner(b"l" * 32).public_key))
    assert outcome(chain, 1) == "", "five fit"
    for number, (name, value) in enumerate((("window", 2_049), ("max_block_transactions", 10_001), ("max_block_bytes", 1 << 40)), 2):
        decide(chain, 6_000, "chain", key=name, value=value)
        assert outcome(chain, number) == "epoch.messages-too-long"


def test_no_vote_leads_to_parameters_with_which_the_executor_could_run_out_of_memory() -> None:
    chain = Chain(genesis=genesis(more=(ContractSource("rules", RULES),)))
    beyond = (("max_block_gas", 2_000_000_000), ("max_transaction_gas", 100_000_000), ("job_gas", 100_000_000), ("jobs_block_gas", 100_000_000))
    for number, (name, value) in enumerate((*beyond, ("view_gas", 100_000_000), ("validity_blocks", 10_000))):
        decide(chain, 6_000, "chain", key=name, value=value)
        assert outcome(chain, number) == "epoch.memory"
    decide(chain, 6_000, "chain", key="max_block_gas", value=60_000_000)
    assert outcome(chain, 6) == ""


def test_no_vote_lets_a_transaction_run_again_by_a_shorter_validity() -> None:
    chain = Chain(genesis=genesis(more=(ContractSource("rules", RULES),), epoch_blocks=10, window=8))
    raw = chain.tx("pay", "bank", "ann", 1, valid_until=60)
    assert chain.block(raw).kept == (0,)
    decide(chain, 20, "chain", key="validity_blocks", value=5)
    assert outcome(chain, 0) == "epoch.validity-lowered"
    decide(chain, 20, "chain", key="validity_blocks", value=1_001)
    assert outcome(chain, 1) == ""
    while chain.executor.height < 60:
        assert chain.block(raw).kept == ()
    assert chain.executor.epochs()[0].parameters.validity_blocks == 1_001
    assert chain.balance("ann") == 1


def test_a_height_within_the_window_moves_to_the_next_boundary_beyond_it(chain: Chain) -> None:
    block = decide(chain, 3, "chain", key="max_block_gas", value=7_000_000)
    assert block.next_epoch is not None
    assert block.next_epoch.first_height == 10
    run_to(chain, 5)
    later = decide(chain, 7, "chain", key="max_block_gas", value=8_000_000)
    assert later.header.height == 6
    assert later.next_epoch is not None
    assert later.next_epoch.first_height == 10
    assert later.next_epoch.parameters.max_block_gas == 7_000_000
    entered = run_to(chain, 10)
    assert entered.next_epoch is not None
    assert (entered.next_epoch.number, entered.next_epoch.first_height) == (2, 20)
    assert run_to(chain, 20).header.epoch == 2
    assert chain.executor.epochs()[0].parameters.max_block_gas == 8_000_000


def test_decisions_for_one_height_make_one_epoch(chain: Chain) -> None:
    decide(chain, 20, "chain", key="max_block_gas", value=7_000_000)
    block = decide(chain, 20, "chain", key="block_interval_ms", value=99)
    assert block.next_epoch is not None
    parameters = block.next_epoch.parameters
    assert (block.next_epoch.number, parameters.max_block_gas, parameters.block_interval_ms) == (1, 7_000_000, 99)


def test_the_validator_set_is_announced_by_the_last_block_of_the_old_one(chain: Chain) -> None:
    members = (*chain.genesis.validators.validators, Validator("v9", "super", KeySigner(b"9" * 32).public_key, KeySigner(b"8" * 32).public_key))
    following = ValidatorSet(members)
    change_validators(chain, 20, ("add", "v9", "super", members[-1].consensus_key, members[-1].transport_key))
    early = run_to(chain, 18)
    assert early.header.next_validators_hash == early.header.validators_hash == chain.genesis.validators.hash
    last = chain.block()
    assert last.header.height == 19
    assert last.header.validators_hash == chain.genesis.validators.hash
    assert last.header.next_validators_hash == following.hash
    first = chain.block()
    assert first.header.validators_hash == first.header.next_validators_hash == following.hash


def upload(chain: Chain, source: str) -> str:
    source_hash = blake2b_256(source.encode()).hex()
    parts = [source[start : start + 4000] for start in range(0, len(source), 4000)]
    chain.block(*[chain.tx("upload", source_hash, number, part, contract="rules") for number, part in enumerate(parts)])
    return source_hash


def test_code_changes_at_the_epoch_and_old_heights_still_answer_with_the_old(chain: Chain) -> None:
    chain.block(chain.tx("pay", "bank", "alice", 5))
    source_hash = upload(chain, NEW_TOY)
    decide(chain, 20, "contract", subject="toy", key=source_hash, note=source_hash)
    run_to(chain, 19)
    assert chain.balance("alice") == 5
    run_to(chain, 20)
    assert chain.balance("alice") == 10
    assert chain.balance("alice", 19) == 5
    abi = chain.executor.abi("toy")
    assert abi is not None
    assert abi.source_hash.hex() == source_hash
    stored = chain.executor.value(layout.code_key("toy"))
    assert isinstance(stored, tuple)
    assert stored[0] == 2
    again = BlockExecutor(MemoryKV(), chain.genesis, flush_blocks=1)
    for height, (batch, transactions) in enumerate(chain.blocks, 1):
        again.execute(height, batch, transactions)
        again.finalise(height)
    assert again.status().header_hash == chain.executor.status().header_hash


def test_discarding_the_first_block_of_an_epoch_brings_the_old_code_back(chain: Chain) -> None:
    chain.block(chain.tx("pay", "bank", "alice", 5))
    source_hash = upload(chain, NEW_TOY)
    decide(chain, 10, "contract", subject="toy", key=source_hash, note=source_hash)
    run_to(chain, 9)
    first = chain.execute(chain.tx("pay", "bank", "alice", 1))
    chain.executor.discard_above(9)
    assert chain.executor.epochs()[0].number == 0
    batch, transactions = chain.blocks[-1]
    assert chain.executor.execute(10, batch, transactions) == first


@pytest.mark.parametrize(
    ("kind", "subject", "key", "value", "note", "code"),
    [
        ("chain", "", "no_such_parameter", 5, "", "epoch.malformed"),
        ("chain", "", "block_interval_ms", 0, "", "epoch.malformed"),
        ("chain", "", "profile", 1, "", "epoch.malformed"),
        ("chain", "", "window", 10, "", "epoch.malformed"),
        ("validators", "", "", 0, "zz", "epoch.malformed"),
        ("validators", "", "", 0, "90", "epoch.malformed"),
        ("contract", "toy", "00" * 32, 0, "", "epoch.code-missing"),
        ("rollback", "toy", "", 1, "", "epoch.code-version"),
        ("rollback", "absent", "", 1, "", "epoch.code-version"),
    ],
)
def test_a_decision_that_cannot_be_carried_out_changes_nothing(chain: Chain, kind: str, subject: str, key: str, value: int, note: str, code: str) -> None:
    block = decide(chain, 20, kind, subject, key, value, note)
    assert block.next_epoch is None
    assert outcome(chain, 0) == code
    assert run_to(chain, 20).header.epoch == 0


def test_code_that_the_checker_refuses_is_not_installed(chain: Chain) -> None:
    source_hash = upload(chain, "import os\n")
    decide(chain, 20, "contract", subject="toy", key=source_hash, note=source_hash)
    assert outcome(chain, 0) == "epoch.code-refused"
    assert run_to(chain, 20).header.epoch == 0


def test_other_kinds_are_the_contracts_own_affair(chain: Chain) -> None:
    assert decide(chain, 20, "number").next_epoch is None
    assert outcome(chain, 0) is None
    assert decide(chain, 20, "chain", key="max_block_gas", value=5_000_000).next_epoch is not None


def test_market_time_follows_the_offset_from_the_next_block_on(chain: Chain) -> None:
    first = chain.block(chain.tx("move", 86_400_000, contract="rules"), time_ms=1_000_100)
    second = chain.block(time_ms=1_000_200)
    assert (first.market_ms, second.market_ms) == (1_000_100, 1_000_200 + 86_400_000)
    assert second.header.time_ms == 1_000_200
    clock = chain.executor.query("toy", "clock", ()).value
    assert clock == [1, second.market_ms, 2]


def test_a_job_follows_market_time(chain: Chain) -> None:
    chain.block(chain.tx("later", 50_000_000, 3), chain.tx("move", 86_400_000, contract="rules"), time_ms=1_000_100)
    assert chain.block(time_ms=1_000_200).job_count == 1
