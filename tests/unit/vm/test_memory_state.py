"""The state in memory behaves as the ledger's: ordered neighbours within a prefix, and an undo journal that nests."""

from hypothesis import given, settings
from hypothesis import strategies as st

from carbonnode.vm.memory_state import MemoryState
from carbonnode.vm.state import ABSENT

KEYS = st.binary(max_size=3) | st.sampled_from([b"a", b"a\0", b"a\xff", b"a\xff\xff", b"b", b"\xff", b"\xff\xff"])


@settings(deadline=None)
@given(st.sets(KEYS, max_size=20), KEYS, st.none() | KEYS)
def test_neighbours_are_those_of_a_sorted_list(keys: set[bytes], prefix: bytes, edge: bytes | None) -> None:
    state = MemoryState()
    for key in keys:
        state.put(key, 1)
    inside = sorted(key for key in keys if key.startswith(prefix))
    assert state.next_key(prefix, edge) == next((key for key in inside if edge is None or key > edge), None)
    assert state.prev_key(prefix, edge) == next((key for key in reversed(inside) if edge is None or key < edge), None)


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), KEYS, st.integers(0, 9)), max_size=30), st.integers(0, 30))
def test_rolling_back_restores_everything(steps: list[tuple[bool, bytes, int]], cut: int) -> None:
    state = MemoryState({b"a": 1, b"b": 2})
    mark, kept = state.mark(), dict(state.data)
    for index, (write, key, value) in enumerate(steps):
        if index == cut:
            mark, kept = state.mark(), dict(state.data)
        if write:
            state.put(key, value)
        else:
            state.delete(key)
            assert state.get(key) is ABSENT
    state.rollback(mark)
    assert state.data == kept
    assert state.next_key(b"", None) == min(kept, default=None)
