"""What the ledger keeps in memory is bounded in bytes, and the bounds hold for the heaviest values there are (docs/adr/0024)."""

import gc
import tracemalloc
from collections.abc import Callable

import pytest

from carbonnode.chain import values
from carbonnode.chain.genesis import ContractSource
from carbonnode.chain.memory import WRITTEN_BYTES_PER_GAS
from carbonnode.chain.memory_kv import MemoryKV
from carbonnode.chain.receipt import Status
from carbonnode.chain.transaction import Call
from carbonnode.chain.values import Value
from carbonnode.errors import RemoteError
from carbonnode.ledger import executor as executor_module
from carbonnode.ledger import history
from carbonnode.ledger.garbage import Garbage
from carbonnode.ledger.key_index import KeyIndex
from carbonnode.ledger.layout import prefix_end
from carbonnode.ledger.state import WorkingState
from carbonnode.ledger.store import StateStore
from carbonnode.ledger.weights import Cache, decoded_weight
from carbonnode.vm.contract import compile_contract
from carbonnode.vm.gas import SCHEDULES
from carbonnode.vm.machine import Machine
from carbonnode.vm.state import Environment
from tests.unit.ledger.toy import Chain, genesis

HEAVY: dict[str, Callable[[int], Value]] = {
    "nothing": lambda _: None,
    "integers": lambda i: i + 10**9,
    "large integers": lambda i: (1 << 250) + i,
    "texts": lambda i: str(i) + "a" * 4000,
    "wide texts": lambda i: str(i) + "\U0001f600" * 1000,
    "one wide character": lambda i: str(i) + "a" * 4000 + "\u4e2d",
    "bytes": lambda i: bytes(4000) + i.to_bytes(8, "big"),
    "tuples": lambda i: (i, 70_000, 70_001, "abc"),
    "long tuples": lambda i: tuple(range(70_000 + i, 71_000 + i)),
    "tuples of tuples": lambda i: tuple((70_000 + i + j,) for j in range(1_000)),
    "tuples of large integers": lambda i: tuple((1 << 250) + i + j for j in range(1_000)),
}


@pytest.mark.parametrize("name", HEAVY)
def test_what_is_read_weighs_no_more_than_is_reckoned(name: str) -> None:
    made = [(b"key %06d" % i, values.encode_value(HEAVY[name](i))) for i in range(30)]
    gc.collect()
    tracemalloc.start()
    held = {bytes(bytearray(key)): values.decode_value(encoded) for key, encoded in made}
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert taken <= sum(decoded_weight(key, held[key], len(encoded)) for key, encoded in made)


def test_a_cache_never_weighs_more_than_its_limit_and_keeps_what_is_new() -> None:
    cache: Cache[int] = Cache(1_000)
    for i in range(500):
        cache.put(b"%d" % (i % 37), i, 60)
        assert (len(cache.young) + len(cache.former)) * 60 <= 1_000
        assert cache.young[b"%d" % (i % 37)] == i
    cache.put(b"large", 1, 900)
    assert cache.young == {b"large": 1}


def test_an_index_of_keys_is_bounded_in_bytes_and_answers_all_the_same() -> None:
    keys = sorted(b"%d/%05d" % (i % 7, i) for i in range(2_000))
    present = set(keys)

    def walk(start: bytes, stop: bytes | None, reverse: bool) -> list[bytes]:
        found = [key for key in keys if start <= key and (stop is None or key < stop)]
        return found[::-1] if reverse else found

    index = KeyIndex(lambda *asked: iter(walk(*asked)), lambda _: (), present.__contains__, max_bytes=20_000)
    for i in range(7):
        prefix = b"%d/" % i
        assert index.next_key(prefix, None) == min(key for key in keys if key.startswith(prefix))
        assert index.prev_key(prefix, prefix_end(prefix)) == max(key for key in keys if key.startswith(prefix))
        assert index._bytes <= 40_000
        held = sum(len(key) + 48 for found in index._lists.values() for key in found.keys)
        assert held <= index._bytes


WRITES = {
    "texts": ("str", '"ab" * 2040'),
    "texts of their own": ("str", '"ab" * 2040 + str(i)'),
    "one wide character": ("str", '"ab" * 2040 + str(i) + "\\u4e2d"'),
    "wide tuples": ("tuple", "(wide + str(i), wide + str(i + 1), wide + str(i + 2))"),
    "long tuples": ("tuple", "tuple([70000 + i + j for j in range(4000)])"),
    "tuples of tuples": ("tuple", "tuple([(70000 + i + j,) for j in range(1000)])"),
    "large integers": ("tuple", "tuple([big + i + j for j in range(1000)])"),
    "integers": ("int", "i"),
}


@pytest.mark.parametrize("name", WRITES)
def test_what_a_block_leaves_in_the_state_was_paid_for(name: str) -> None:
    kind, value = WRITES[name]
    source = f"""
kept = Map(str, int, {kind})
@export
def fill(first: int, count: int) -> None:
    big = 2 ** 250
    wide = "\\U0001f600" * 1000
    long = "k" * 480
    for i in range(first, first + count):
        kept[long, i] = {value}
"""
    contract = compile_contract("a", source.encode())
    env = Environment(time_ms=1, height=1, chain_id=b"", resolve={"a": contract}.get)
    machine, state = Machine(SCHEDULES[1]), WorkingState(StateStore(MemoryKV()))
    state.begin_block()
    machine.execute(state, env, bytes(32), (Call("a", "fill", (0, 1)),), 10_000_000)
    state.commit_transaction(0)
    gc.collect()
    tracemalloc.start()
    outcome = machine.execute(state, env, bytes(32), (Call("a", "fill", (1, 30)),), 1_000_000_000)
    assert outcome.ok, (outcome.code, outcome.where)
    state.commit_transaction(0)
    state.seal_block(1, [b"seed" * 8])
    gc.collect()
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert taken <= outcome.gas_used * WRITTEN_BYTES_PER_GAS
    assert taken <= state.pending_weight * 1.1


def test_the_executor_says_what_it_holds_and_lets_it_go_with_a_flush() -> None:
    chain = Chain()
    chain.executor._flush_blocks = 0
    empty = chain.executor.held_bytes
    for _ in range(3):
        chain.execute(chain.tx("pay", "bank", "alice", 1))
    executed = chain.executor.held_bytes
    assert executed > empty + 3 * 1_000
    for height in range(1, 4):
        chain.executor.finalise(height)
    assert chain.executor.held_bytes > 1_000
    chain.executor.flush()
    assert chain.executor.held_bytes == 0


def test_past_states_are_made_from_so_many_bytes_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = Chain()
    for _ in range(6):
        chain.block(chain.tx("pay", "bank", "alice", 1))
    one = chain.executor._store.undo_size(6)
    monkeypatch.setattr(history, "MAX_UNDO_BYTES", 4 * one)
    monkeypatch.setattr(executor_module, "MAX_UNDO_BYTES", 4 * one)
    assert chain.executor.query("toy", "balance", ("alice",), height=3).value is not None
    assert chain.executor.query("toy", "balance", ("alice",), height=4).value is not None
    assert sum(past.size for past in chain.executor._past.values()) <= 4 * one
    with pytest.raises(RemoteError, match="changed since height 1") as error:
        chain.executor.query("toy", "balance", ("alice",), height=1)
    assert error.value.code == "pruned"


def test_the_collector_runs_before_a_run_could_make_garbage_too_much() -> None:
    runs: list[int] = []
    garbage = Garbage(lambda: runs.append(1), every_gas=100)
    for expected in (0, 0, 1, 1, 2):
        garbage.before(40)
        assert len(runs) == expected
        garbage.after(40)
    garbage.before(1_000)
    assert len(runs) == 3
    garbage.before(1_000)
    assert len(runs) == 3, "nothing ran in between"


LOUD = """
said = Var(int)
@export
def shout(count: int) -> int:
    said.set(said.get() + 1)
    for i in range(count):
        emit("Loud", to="ann", text="a" * 4000)
    return count
@export
def later(at_ms: int, count: int) -> None:
    schedule(at_ms, "shout", (count,))
@export
def tell(count: int) -> tuple:
    said.set(said.get() + 1)
    return ("a" * 4000,) * count
@view
def times() -> int:
    return said.get()
"""


def loud() -> Chain:
    return Chain(genesis=genesis(more=(ContractSource("loud", LOUD),), job_gas=100_000, jobs_block_gas=250_000))


@pytest.mark.parametrize(("method", "count"), [("shout", 13), ("tell", 13)])
def test_a_run_says_no_more_than_its_gas_limit_allows(method: str, count: int) -> None:
    chain = loud()
    good = chain.block(chain.tx(method, 12, contract="loud", gas=100_000))
    bad = chain.block(chain.tx(method, count, contract="loud", gas=100_000), chain.tx("shout", 1, contract="loud", gas=100_000))
    assert good.receipts[-1].status == Status.OK
    refused, fine = bad.receipts
    assert (refused.status, refused.code, refused.gas_used, refused.values) == (Status.ABORT, "chain.output", 100_000, ())
    assert fine.status == Status.OK
    assert chain.executor.query("loud", "times", ()).value == 2, "what the run wrote is undone"
    assert [event.sequence for event in (*good.events, *bad.events)] == list(range(1, len(good.events) + 2)), "no number is lost"


def test_jobs_that_say_much_take_their_blocks_budget() -> None:
    chain = loud()
    chain.block(chain.tx("later", 1_100_000, 13, contract="loud"), *[chain.tx("later", 1_100_000 + i, 12, contract="loud") for i in range(1, 5)])
    blocks = [chain.block(time_ms=1_200_000 + i) for i in range(4)]
    assert [block.job_count for block in blocks] == [2, 2, 1, 0]
    codes = [receipt.code for block in blocks for receipt in block.receipts]
    assert codes == ["chain.output", "", "", "", ""]
    assert chain.executor.query("loud", "times", ()).value == 4
    assert all(len(block.encoded) < 250_000 for block in blocks)
