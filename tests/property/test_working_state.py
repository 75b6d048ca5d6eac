"""The working state against a plain dict: reads, order, undo, blocks that stack, are finalised, discarded or lost in a crash."""

from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from carbonnode.chain import values
from carbonnode.chain.hashing import ZERO_HASH
from carbonnode.chain.header import Header
from carbonnode.chain.memory_kv import MemoryKV
from carbonnode.ledger.key_index import KeyIndex
from carbonnode.ledger.salts import state_salt
from carbonnode.ledger.state import FinalState, WorkingState
from carbonnode.ledger.store import StateStore
from carbonnode.ledger.tree import commit, fresh_root, key_hash, make_leaf
from carbonnode.vm.keys import storage_key
from carbonnode.vm.state import ABSENT

KEYS = st.tuples(st.sampled_from([b"p/", b"p/a", b"q/", b"q\xff"]), st.integers(0, 12)).map(lambda pair: pair[0] + bytes([pair[1]]))
PREFIXES = st.sampled_from([b"p/", b"p/a", b"q", b"q/", b"q\xff", b"p", b"r"])
Model = dict[bytes, tuple[Any, bytes]]


def model_next(model: Model, prefix: bytes, after: bytes | None) -> bytes | None:
    return min((key for key in model if key.startswith(prefix) and (after is None or key > after)), default=None)


def model_prev(model: Model, prefix: bytes, before: bytes | None) -> bytes | None:
    return max((key for key in model if key.startswith(prefix) and (before is None or key < before)), default=None)


class WorkingStateMachine(RuleBasedStateMachine):
    @initialize(wide=st.booleans(), cache=st.sampled_from([500, 3_000, 1_000_000]))
    def start(self, wide: bool, cache: int) -> None:
        self.kv = MemoryKV()
        self.wide, self.cache = wide, cache
        self.height = -1
        self.final: Model = {}
        self.flushed: tuple[int, Model] = (-1, {})
        self.layers: list[tuple[int, Model, bytes]] = []
        self.root_of: dict[int, bytes] = {}
        self.open_store()
        self.current: Model = {}
        self.marks: list[tuple[int, Model]] = []
        self.seeds = [b"seed" * 8]
        self.in_block = False

    def open_store(self) -> None:
        self.store = StateStore(self.kv, cache_bytes=self.cache)
        self.state = WorkingState(self.store, cache_bytes=self.cache)
        if self.wide:
            for index in (self.state._index, self.state._final_index):
                index._max_list = 2

    def newest(self) -> Model:
        return self.layers[-1][1] if self.layers else self.final

    @precondition(lambda self: not self.in_block and len(self.layers) < 4)
    @rule()
    def begin(self) -> None:
        self.state.begin_block()
        self.current, self.in_block, self.marks = dict(self.newest()), True, []

    @precondition(lambda self: self.in_block)
    @rule(key=KEYS, value=st.integers(0, 5) | st.none() | st.text(max_size=2) | st.tuples(st.booleans(), st.integers()))
    def put(self, key: bytes, value: Any) -> None:
        self.state.put(key, value)
        self.current[key] = (value, b"")

    @precondition(lambda self: self.in_block)
    @rule(key=KEYS)
    def delete(self, key: bytes) -> None:
        self.state.delete(key)
        self.current.pop(key, None)

    @precondition(lambda self: self.in_block)
    @rule()
    def mark(self) -> None:
        self.marks.append((self.state.mark(), dict(self.current)))

    @precondition(lambda self: self.in_block and self.marks)
    @rule(data=st.data())
    def rollback(self, data: st.DataObject) -> None:
        place = data.draw(st.integers(0, len(self.marks) - 1))
        number, self.current = self.marks[place]
        del self.marks[place:]
        self.state.rollback(number)

    @precondition(lambda self: self.in_block)
    @rule()
    def commit_transaction(self) -> None:
        self.state.commit_transaction(0)
        self.marks = []

    @precondition(lambda self: self.in_block)
    @rule()
    def abandon(self) -> None:
        self.state.abandon_block()
        self.in_block = False

    @precondition(lambda self: self.in_block)
    @rule(seed=st.sampled_from([b"a" * 32, b"b" * 32]))
    def seal(self, seed: bytes) -> None:
        self.state.commit_transaction(0)
        written = set(self.state._before)
        height = (self.layers[-1][0] if self.layers else self.height) + 1
        root = self.state.seal_block(height, [seed])
        model = {key: (value, state_salt(seed, key_hash(key)) if key in written else salt) for key, (value, salt) in self.current.items()}
        expected = fresh_root(make_leaf(key_hash(key), commit(salt, values.encode_value(value))) for key, (value, salt) in model.items())
        assert root == expected
        self.layers.append((height, model, root))
        self.in_block = False

    @precondition(lambda self: self.layers and not self.in_block)
    @rule()
    def finalise(self) -> None:
        height, model, root = self.layers.pop(0)
        layer = self.state.finalise(height)
        header = Header(1, b"c" * 32, 0, height, ZERO_HASH, ZERO_HASH, height, ZERO_HASH, ZERO_HASH, ZERO_HASH, root, ZERO_HASH, ZERO_HASH, ZERO_HASH, ())
        self.store.absorb(layer.records, layer.nodes, header, b"h" * 32, b"")
        self.height, self.final = height, model

    @precondition(lambda self: self.layers and not self.in_block)
    @rule(data=st.data())
    def discard(self, data: st.DataObject) -> None:
        height = data.draw(st.integers(self.height, self.layers[-1][0]))
        self.state.discard_above(height)
        self.layers = [layer for layer in self.layers if layer[0] <= height]

    @precondition(lambda self: not self.in_block)
    @rule()
    def flush(self) -> None:
        self.store.flush(sync=True)
        self.flushed = (self.height, self.final)

    @precondition(lambda self: not self.in_block)
    @rule()
    def crash(self) -> None:
        self.height, self.final = self.flushed
        self.layers = []
        self.open_store()
        assert (self.store.tip.height if self.store.tip else -1) == self.height

    @rule(key=KEYS)
    def reads(self, key: bytes) -> None:
        model = self.current if self.in_block else self.newest()
        assert self.state.get(key) == (model[key][0] if key in model else ABSENT)
        assert self.state.final_value(key) == (self.final[key][0] if key in self.final else ABSENT)

    @rule(prefix=PREFIXES, bound=st.none() | KEYS)
    def steps(self, prefix: bytes, bound: bytes | None) -> None:
        model = self.current if self.in_block else self.newest()
        final = FinalState(self.state)
        assert self.state.next_key(prefix, bound) == model_next(model, prefix, bound)
        assert self.state.prev_key(prefix, bound) == model_prev(model, prefix, bound)
        assert final.next_key(prefix, bound) == model_next(self.final, prefix, bound)
        assert final.prev_key(prefix, bound) == model_prev(self.final, prefix, bound)

    @invariant()
    def dirty_values_have_owners(self) -> None:
        if not hasattr(self, "layers") or self.in_block:
            return
        owned = {key for layer in self.state._layers for key in layer.values}
        assert set(self.state._dirty) == owned


TestWorkingState = WorkingStateMachine.TestCase
TestWorkingState.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)


@given(st.sets(KEYS), st.lists(st.tuples(KEYS, st.booleans())), PREFIXES, st.none() | KEYS, st.integers(0, 5))
@settings(max_examples=300, deadline=None)
def test_the_index_agrees_with_a_sorted_set(base: set[bytes], changes: list[tuple[bytes, bool]], prefix: bytes, bound: bytes | None, most: int) -> None:
    view = set(base)

    def walk(start: bytes, stop: bytes | None, reverse: bool) -> Any:
        return iter(sorted((key for key in base if start <= key and (stop is None or key < stop)), reverse=reverse))

    index = KeyIndex(walk, lambda _prefix: view ^ base, view.__contains__, max_list=most)

    def check() -> None:
        steps: list[tuple[Callable[[bytes, bytes | None], bytes | None], Callable[[Model, bytes, bytes | None], bytes | None]]]
        steps = [(index.next_key, model_next), (index.prev_key, model_prev)]
        for found, expected in steps:
            assert found(prefix, bound) == expected(dict.fromkeys(view, (None, b"")), prefix, bound)

    check()
    for key, present in changes:
        if present and key not in view:
            view.add(key)
            index.add(key)
        elif not present and key in view:
            view.remove(key)
            index.remove(key)
        check()


STORED = st.builds(
    lambda name, text, number: storage_key("x", name, (text, number)), st.sampled_from(["m", "mm"]), st.sampled_from(["", "a", "a\0", "ab"]), st.integers(-2, 2)
)
STARTS = st.builds(lambda name, parts: storage_key("x", name, parts), st.sampled_from(["m", "mm"]), st.sampled_from([(), ("",), ("a",), ("a\0",), ("b",)]))


@given(st.sets(STORED), st.lists(st.tuples(STORED, st.booleans())), STARTS, st.none() | STORED, st.sampled_from([0, 2, 50]))
@settings(max_examples=300, deadline=None)
def test_the_index_of_what_contracts_store_agrees_with_a_sorted_set(
    base: set[bytes], changes: list[tuple[bytes, bool]], prefix: bytes, bound: bytes | None, most: int
) -> None:
    test_the_index_agrees_with_a_sorted_set.hypothesis.inner_test(base, changes, prefix, bound, most)  # type: ignore[attr-defined]
