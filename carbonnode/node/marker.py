"""The black box of the executor: a few shared bytes that say what runs now, read by the daemon when the process has died.

Memory shared between the two processes survives the death of one, costs no system call to write, and is no part of the state.
"""

import mmap
import os
import tempfile

from carbonnode.chain.hashing import HASH_BYTES
from carbonnode.ledger.block_run import NOTHING

FD_VARIABLE = "CARBONNODE_EXECUTOR_MARK"
_HEIGHT_BYTES = 8
_SIZE = _HEIGHT_BYTES + HASH_BYTES


class Marker:
    """Made by the daemon; the executor process opens the same bytes by their file descriptor."""

    def __init__(self, file: int) -> None:
        self._memory = mmap.mmap(file, _SIZE)

    def height(self, height: int) -> None:
        """The executor begins a block."""
        self._memory[:] = height.to_bytes(_HEIGHT_BYTES, "big") + NOTHING

    def begin(self, run_id: bytes) -> None:
        """The executor begins a transaction, a job, a change of code; `NOTHING` between them."""
        self._memory[_HEIGHT_BYTES:] = run_id

    def read(self) -> tuple[int, bytes] | None:
        """(height, id) of what was running, None if nothing was."""
        run_id = self._memory[_HEIGHT_BYTES:]
        return None if run_id == NOTHING else (int.from_bytes(self._memory[:_HEIGHT_BYTES], "big"), run_id)

    def close(self) -> None:
        """Give the memory back."""
        self._memory.close()


def make_marker() -> tuple[Marker, int]:
    """A new marker, and the descriptor to pass on; close that when nobody needs it any more."""
    with tempfile.TemporaryFile() as file:
        file.truncate(_SIZE)
        descriptor = os.dup(file.fileno())
    return Marker(descriptor), descriptor
