"""A KV in memory, for local contracts, the simulator and tests."""

from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self

from sortedcontainers import SortedDict


class MemoryKV:
    """Ordered bytes to bytes in memory; `snapshot` copies."""

    def __init__(self, items: Iterable[tuple[bytes, bytes]] = ()) -> None:
        self._items: SortedDict[bytes, bytes] = SortedDict(items)

    def get(self, key: bytes) -> bytes | None:
        """The value, or None."""
        value: bytes | None = self._items.get(key)
        return value

    def iterate(self, *, start: bytes = b"", stop: bytes | None = None, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Pairs with start <= key < stop, in key order or reversed."""
        for key in list(self._items.irange(start, stop, inclusive=(True, False), reverse=reverse)):
            yield key, self._items[key]

    def write(self, puts: Iterable[tuple[bytes, bytes]], deletes: Iterable[bytes] = (), *, sync: bool = False) -> None:  # noqa: ARG002
        """Apply all changes."""
        self._items.update(puts)
        for key in deletes:
            self._items.pop(key, None)

    def snapshot(self) -> "MemoryKV":
        """A copy."""
        return MemoryKV(self._items.items())

    def close(self) -> None:
        """Nothing to release."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
