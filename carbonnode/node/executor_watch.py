"""What the executor process notes of its own work, and a fault that tests plant: it dies whenever it runs a transaction that calls a certain method.

`CARBONNODE_POISON=contract.method` in the environment of a node arms it. Nothing of this kind is known in the VM: the tests plant it in order to show
that the network would survive it (skip orders).
"""

import os
import signal
from collections.abc import Sequence

from carbonnode.chain.transaction import Transaction
from carbonnode.node.marker import Marker

VARIABLE = "CARBONNODE_POISON"


class Watch:
    """Marks what runs now, and with a planted fault kills this process at it."""

    def __init__(self, marker: Marker | None = None, poison: str = "") -> None:
        self._marker = marker
        self._poison = poison
        self._deadly: frozenset[bytes] = frozenset()

    def block(self, height: int, transactions: Sequence[bytes]) -> None:
        """A block begins."""
        if self._marker is not None:
            self._marker.height(height)
        if self._poison:
            decoded = [Transaction.decode(raw) for raw in transactions]
            self._deadly = frozenset(tx.id for tx in decoded if any(f"{call.contract}.{call.method}" == self._poison for call in tx.body.calls))

    def begin(self, run_id: bytes) -> None:
        """What runs next."""
        if self._marker is not None:
            self._marker.begin(run_id)
        if run_id in self._deadly:
            os.kill(os.getpid(), signal.SIGKILL)
