"""Lists in pieces (`itertools.batched` exists from Python 3.12 only)."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def batched(items: Sequence[T], size: int) -> Iterator[tuple[T, ...]]:
    """The items in tuples of at most `size`, in order."""
    for start in range(0, len(items), size):
        yield tuple(items[start : start + size])
