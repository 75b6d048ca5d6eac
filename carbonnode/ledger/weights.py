"""What entries of the ledger's caches weigh in memory, from what is known without looking at them (docs/adr/0024).

Bounds, not estimates: `tests/unit/ledger/test_memory.py` holds them above what CPython takes for the heaviest values there are.
"""

from typing import Final, Generic, TypeVar

V = TypeVar("V")

ENTRY_BYTES: Final = 360
"""A dictionary's entry with its key and value objects, without their content, and the entry of its weight."""
TUPLE_FACTOR: Final = 24
"""Bytes of a decoded tuple for one of its encoding: the worst are tuples of one small item in a tuple."""
TEXT_FACTOR: Final = 4
"""Bytes of a decoded text for one of its encoding: one wide character makes all others four bytes wide."""
HASHED_BYTES: Final = 460
"""The hash and the path of a key, and the entry that holds them."""
LAYER_BYTES: Final = 400
"""A written key in the dictionaries of an open block."""


def decoded_weight(key: bytes, value: object, size: int) -> int:
    """What a cached decoded value weighs whose leaf record has `size` bytes, 0 where there is none."""
    return ENTRY_BYTES + len(key) + size * (TUPLE_FACTOR if type(value) is tuple else TEXT_FACTOR)


def raw_weight(key: bytes, record: bytes | None) -> int:
    """What a cached record weighs."""
    return ENTRY_BYTES + len(key) + (0 if record is None else len(record))


class Cache(Generic[V]):
    """A cache bounded by weight in two generations: when the young one weighs half the limit, it becomes the former one, whose content is dropped.

    What is asked for moves into the young one. An entry that is put again counts once, with its last weight: hot ones are put at every block, and
    counting them each time made the generations turn over every second.
    """

    __slots__ = ("former", "half", "weight", "weights", "young")

    def __init__(self, limit_bytes: int) -> None:
        self.half = limit_bytes // 2
        self.young: dict[bytes, V] = {}
        self.former: dict[bytes, V] = {}
        self.weights: dict[bytes, int] = {}
        """Of the young ones."""
        self.weight = 0

    def put(self, key: bytes, value: V, weight: int) -> None:
        """Keep an entry."""
        weights = self.weights
        self.weight += weight - weights.get(key, 0)
        if self.weight > self.half:
            self.former, self.young, self.weight = self.young, {}, weight
            weights.clear()
        self.young[key] = value
        weights[key] = weight
