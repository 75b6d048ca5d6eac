"""The overlay of dry runs answers like the working state, and stays cheap whatever was deleted."""

import random

import pytest

from carbonnode.ledger.overlay import Overlay
from carbonnode.vm.state import ABSENT, Absent


class Sorted:
    """A state to read only; counts its steps."""

    def __init__(self, values: dict[bytes, int]) -> None:
        self.values = values
        self.order = sorted(values)
        self.steps = 0

    def get(self, key: bytes) -> int | Absent:
        return self.values.get(key, ABSENT)

    def next_key(self, prefix: bytes, after: bytes | None) -> bytes | None:
        self.steps += 1
        found = [key for key in self.order if key.startswith(prefix) and (after is None or key > after)]
        return found[0] if found else None

    def prev_key(self, prefix: bytes, before: bytes | None) -> bytes | None:
        self.steps += 1
        found = [key for key in self.order if key.startswith(prefix) and (before is None or key < before)]
        return found[-1] if found else None


@pytest.mark.parametrize("seed", range(8))
def test_it_answers_like_a_state_that_is_written(seed: int) -> None:
    """Against a plain dict, with nested marks that are rolled back at random."""
    draw = random.Random(seed)
    keys = [bytes([a, b]) for a in range(3) for b in range(6)]
    below = Sorted({key: number for number, key in enumerate(keys) if draw.random() < 0.6})
    overlay, model = Overlay(below), dict(below.values)
    marks: list[tuple[int, dict[bytes, int]]] = []
    for step in range(1_500):
        key, choice = draw.choice(keys), draw.random()
        if choice < 0.3:
            overlay.put(key, step)
            model[key] = step
        elif choice < 0.6:
            overlay.delete(key)
            model.pop(key, None)
        elif choice < 0.65:
            marks.append((overlay.mark(), dict(model)))
        elif choice < 0.7 and marks:
            mark, model = marks.pop()
            overlay.rollback(mark)
        else:
            prefix, edge = draw.choice([b"", key[:1], key]), draw.choice([None, draw.choice(keys)])
            present = [found for found in sorted(model) if found.startswith(prefix)]
            assert overlay.next_key(prefix, edge) == next((found for found in present if edge is None or found > edge), None)
            assert overlay.prev_key(prefix, edge) == next((found for found in reversed(present) if edge is None or found < edge), None)
            assert overlay.get(key) == model.get(key, ABSENT)
    assert below.values == {key: number for number, key in enumerate(keys) if key in below.values}
    overlay.rollback(0)
    assert [overlay.get(key) for key in keys] == [below.get(key) for key in keys]


def test_a_run_of_deleted_keys_is_walked_through_once() -> None:
    """Otherwise a contract that deletes many and asks often would take the executor's time for nothing."""
    keys = [number.to_bytes(2, "big") for number in range(400)]
    below = Sorted(dict.fromkeys(keys, 1))
    overlay = Overlay(below)
    for key in keys[:-1]:
        overlay.delete(key)
    for _ in range(300):
        assert overlay.next_key(b"", None) == keys[-1]
        mark = overlay.mark()
        overlay.put(keys[7], 2)
        assert overlay.next_key(b"", None) == keys[7]
        overlay.rollback(mark)
        assert overlay.prev_key(b"", keys[-1]) is None
    assert below.steps < 3 * 400 + 4 * 300
