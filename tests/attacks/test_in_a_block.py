"""Our own attacks again, as transactions in blocks of the real ledger: they end there as on a state in memory, with equal gas, and leave the same keys."""

import pytest

from carbonnode.chain import values
from carbonnode.chain.batch import Batch
from carbonnode.chain.genesis import ContractSource, Genesis, Parameters
from carbonnode.chain.memory_kv import MemoryKV
from carbonnode.chain.receipt import Receipt, Status
from carbonnode.chain.signing import KeySigner
from carbonnode.chain.transaction import Body, Call, Transaction
from carbonnode.chain.validators import Validator
from carbonnode.chain.values import Value
from carbonnode.ledger.executor import BlockExecutor
from carbonnode.ledger.layout import prefix_end
from carbonnode.ledger.results import ExecutedBlock
from carbonnode.vm.contract import compile_contract
from carbonnode.vm.gas import SCHEDULES
from carbonnode.vm.machine import Machine
from carbonnode.vm.memory_state import MemoryState
from carbonnode.vm.outcome import Outcome
from carbonnode.vm.state import Absent, Environment
from tests.attacks.test_cases import CASES, Case

KEY = KeySigner(b"k" * 32)
GAS = 1_000_000
STORED = b"c/"
TOO_MUCH = "chain.output"
"""A node bounds events and results by gas; the machine alone doesn't."""


def in_the_ledger(case: Case) -> BlockExecutor:
    validator = Validator("v", "super", KeySigner(b"n" * 32).public_key, KeySigner(b"t" * 32).public_key)
    contracts = tuple(ContractSource(name, source.decode()) for name, source in case.sources.items())
    genesis = Genesis(network="attacked", time_ms=1_000, validators=(validator,), ca_roots=(), contracts=contracts, parameters=Parameters())
    return BlockExecutor(MemoryKV(), genesis)


def block(executor: BlockExecutor, *calls: Call) -> ExecutedBlock:
    height = executor.executed + 1
    chain_id = executor.status().chain_id
    bodies = [Body(chain_id, KEY.public_key, bytes([number]) * 16, height + 10, GAS, (call,)) for number, call in enumerate(calls)]
    signed = [Transaction.sign(body, KEY).raw for body in bodies]
    found = executor.execute(height, Batch(1_000 + height, tuple(Transaction.decode(raw).wire_hash for raw in signed)), signed)
    executor.finalise(height)
    return found


def stored(executor: BlockExecutor) -> dict[bytes, Value]:
    """All that contracts have stored, in the finalised state."""
    found = {}
    for key in executor._store.walk_keys(STORED, prefix_end(STORED), False):
        value = found[key] = executor._state.final_value(key)
        assert not isinstance(value, Absent)
    return found  # type: ignore[return-value]  # none is absent


def in_memory(case: Case, receipt_height: int) -> tuple[Outcome, dict[bytes, Value]]:
    """The same call on a machine of its own."""
    state = MemoryState()
    contracts = {name: compile_contract(name, source) for name, source in case.sources.items()}
    env = Environment(time_ms=1_001, height=receipt_height, chain_id=bytes(32), resolve=contracts.get)
    outcome = Machine(SCHEDULES[max(SCHEDULES)]).execute(state, env, KEY.public_key, (Call("attack", "go", ()),), GAS)
    return outcome, state.data


RUNNING = [case for case in CASES if "REJECT" not in case.endings]


@pytest.mark.parametrize("case", RUNNING, ids=[case.name for case in RUNNING])
def test_an_attack_ends_in_a_block_as_it_does_alone(case: Case) -> None:
    executor = in_the_ledger(case)
    before = stored(executor)
    found = block(executor, Call("attack", "go", ()))
    receipt: Receipt = found.receipts[-1]
    expected, data = in_memory(case, 1)
    if receipt.code == TOO_MUCH:
        assert expected.ok
        assert (receipt.gas_used, stored(executor)) == (GAS, before)
        return
    assert (Status(receipt.status), receipt.code, receipt.gas_used) == (expected.status, expected.code, expected.gas_used)
    assert len(found.events) == len(expected.events)
    assert stored(executor) == (data if expected.ok else before)
    if expected.ok:
        assert [values.from_wire(value) if value is not None else None for value in receipt.values] == list(expected.values)
    # What it scheduled runs, or fails, as any other call: the next block is made.
    assert block(executor).job_count == len(expected.scheduled)
