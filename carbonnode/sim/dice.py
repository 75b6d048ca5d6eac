"""The one source of chance. Integers only, from the generator's bits, so that a seed gives the same run on any machine and version."""

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Dice:
    """A seeded stream of choices."""

    def __init__(self, seed: int | str) -> None:
        self._bits = random.Random(str(seed)).getrandbits

    def below(self, limit: int) -> int:
        """0 <= x < limit."""
        return self._bits(32) % limit

    def between(self, low: int, high: int) -> int:
        """A number from `low` to `high`, both included."""
        return low + self.below(high - low + 1)

    def chance(self, per_mille: int) -> bool:
        """True in so many cases of a thousand."""
        return self._bits(32) % 1000 < per_mille

    def pick(self, items: Sequence[T]) -> T:
        """One of them."""
        return items[self.below(len(items))]

    def some(self, items: Sequence[T], count: int) -> list[T]:
        """`count` different ones, in order of choice."""
        pool = list(items)
        return [pool.pop(self.below(len(pool))) for _ in range(min(count, len(pool)))]

    def bytes(self, count: int) -> bytes:
        """Random bytes."""
        return self._bits(8 * count).to_bytes(count, "big")
