"""Protocols that the core is given: a key-value store."""

from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Protocol, Self


class KVReader(Protocol):
    """Ordered bytes to bytes."""

    def get(self, key: bytes) -> bytes | None:
        """The value, or None."""
        ...

    def iterate(self, *, start: bytes = b"", stop: bytes | None = None, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Pairs with start <= key < stop, in key order, or from the last to the first with `reverse`."""
        ...


class KVSnapshot(KVReader, Protocol):
    """A frozen view; close it when done."""

    def close(self) -> None:
        """Release the view."""
        ...


class KV(KVReader, Protocol):
    """A store with atomic batches."""

    def write(self, puts: Iterable[tuple[bytes, bytes]], deletes: Iterable[bytes] = (), *, sync: bool = False) -> None:
        """Apply all changes atomically; with `sync` they are durable when this returns."""
        ...

    def snapshot(self) -> KVSnapshot:
        """A frozen view of the store as it is now."""
        ...

    def close(self) -> None:
        """Release the store."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...
