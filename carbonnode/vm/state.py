"""What the VM is given from outside: the state, and the surroundings of a block."""

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from carbonnode.chain.values import Value

if TYPE_CHECKING:
    from carbonnode.vm.contract import Contract


class Absent(Enum):
    """The type of `ABSENT`: no value lies under a key. (None isn't it.)"""

    ABSENT = "absent"


ABSENT: Final = Absent.ABSENT

SYSTEM_SENDER: Final = bytes(32)
"""`ctx.sender` of genesis calls, jobs and unsigned views."""


class StateAccess(Protocol):
    """The working state as the VM sees it: decoded immutable values under full keys (`vm.keys`), with an undo journal."""

    def get(self, key: bytes) -> Value | Absent:
        """The value, or `ABSENT`."""
        ...

    def put(self, key: bytes, value: Value) -> None:
        """Write a value. The VM gives immutable values of checked type and size only."""
        ...

    def delete(self, key: bytes) -> None:
        """Remove a key; nothing happens if it isn't there."""
        ...

    def next_key(self, prefix: bytes, after: bytes | None) -> bytes | None:
        """The smallest key that is present, starts with `prefix` and is greater than `after` (None: the smallest of all)."""
        ...

    def prev_key(self, prefix: bytes, before: bytes | None) -> bytes | None:
        """The greatest key that is present, starts with `prefix` and is less than `before` (None: the greatest of all)."""
        ...

    def mark(self) -> int:
        """A point to roll back to. Marks nest and needn't be released."""
        ...

    def rollback(self, mark: int) -> None:
        """Undo every put and delete since `mark`."""
        ...


class Environment(msgspec.Struct, frozen=True, gc=False):
    """The block around a call. `time_ms` is market time; `resolve` gives the contract of a name at this height, or None."""

    time_ms: int
    height: int
    chain_id: bytes
    resolve: "Callable[[str], Contract | None]"
