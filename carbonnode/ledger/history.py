"""The state at a past height, rebuilt from undo records: values by overlaying old ones, proofs by undoing the changes in the tree.

The tree's root depends on its leaves only, so old nodes needn't be kept: the old leaves give them back, and the root is checked against the header.
"""

from typing import Final

from carbonnode.chain import values
from carbonnode.chain.header import Header
from carbonnode.chain.values import Value
from carbonnode.errors import RemoteError, StorageError
from carbonnode.ledger.key_index import KeyIndex
from carbonnode.ledger.salts import SALT_BYTES
from carbonnode.ledger.state import ReadOnlyState, WorkingState
from carbonnode.ledger.store import StateStore
from carbonnode.ledger.tree import TreeUpdate, commit, delete_leaf, key_hash, make_leaf
from carbonnode.ledger.tree_proof import StateProof, build_proof
from carbonnode.vm.state import ABSENT, Absent

MAX_UNDO_BYTES: Final = 24 << 20
"""Of undo records that a past state is made from (docs/adr/0024)."""


class PastState(ReadOnlyState):
    """A read-only state as of `height`; void after the next finalised block."""

    def __init__(self, store: StateStore, state: WorkingState, header: Header) -> None:
        """Raises `StorageError` if an undo record in between is missing, `RemoteError` (`pruned`) if too much changed since."""
        self._store = store
        self._state = state
        self.header = header
        self._old: dict[bytes, bytes | None] = {}
        tip = header.height if store.tip is None else store.tip.height
        self.size = 0
        """Bytes of the undo records it is made from."""
        for height in range(tip, header.height, -1):
            self.size += store.undo_size(height)
            if self.size > MAX_UNDO_BYTES:
                text = f"more than {MAX_UNDO_BYTES >> 20} MiB changed since height {header.height}: this node doesn't rebuild it; ask at a later height"
                raise RemoteError(text, code="pruned")
            undo = store.undo(height)
            if undo is None:
                raise StorageError(f"the undo record of height {height} is missing: the state at {header.height} can't be rebuilt", code="pruned")
            self._old.update(undo.records)
        self._index = KeyIndex(store.walk_keys, lambda _prefix: self._old, lambda key: self.record(key) is not None)
        self._nodes: dict[bytes, bytes | None] | None = None

    def record(self, key: bytes) -> bytes | None:
        """The leaf record of a key as it was."""
        return self._old[key] if key in self._old else self._store.record(key)

    def get(self, key: bytes) -> Value | Absent:
        """The value as it was."""
        if key not in self._old:
            return self._state.final_value(key)
        record = self._old[key]
        return ABSENT if record is None else values.decode_value(record[SALT_BYTES:])

    def next_key(self, prefix: bytes, after: bytes | None) -> bytes | None:
        """As in `StateAccess`."""
        return self._index.next_key(prefix, after)

    def prev_key(self, prefix: bytes, before: bytes | None) -> bytes | None:
        """As in `StateAccess`."""
        return self._index.prev_key(prefix, before)

    def prove(self, key: bytes) -> StateProof:
        """A proof under the header's state root. Raises `StorageError` if the rebuilt root isn't the header's."""
        nodes = self._rebuilt()
        return build_proof(key, self.header.height, self.record(key), lambda path: nodes[path] if path in nodes else self._store.node(path))

    def _rebuilt(self) -> dict[bytes, bytes | None]:
        if self._nodes is None:
            update = TreeUpdate(self._store.node)
            leaves = [
                delete_leaf(key_hash(key)) if record is None else make_leaf(key_hash(key), commit(record[:SALT_BYTES], record[SALT_BYTES:]))
                for key, record in self._old.items()
            ]
            if update.apply(leaves) != self.header.state_root:
                raise StorageError(
                    f"the undo records don't lead back to the state root of height {self.header.height}: run `carbonnode verify-store`", code="corrupt"
                )
            self._nodes = update.writes
        return self._nodes
