"""Transaction ids executed within the last W heights: an id runs at most once (design, sections 3 and 6)."""

from carbonnode.chain.hashing import HASH_BYTES
from carbonnode.ledger.layout import IDS
from carbonnode.ledger.store import StateStore


class RecentIds:
    """Ids by height. W is the validity window: an older id can't come again, since its valid-until has passed."""

    def __init__(self, store: StateStore, window: int) -> None:
        """Read the last `window` heights from the store."""
        self._store = store
        self._heights: dict[bytes, int] = {}
        tip = -1 if store.tip is None else store.tip.height
        self._oldest = max(0, tip - window)
        for height in range(self._oldest, tip + 1):
            raw = store.ids(height) or b""
            self.add(height, [raw[at : at + HASH_BYTES] for at in range(0, len(raw), HASH_BYTES)])

    def __contains__(self, tx_id: bytes) -> bool:
        return tx_id in self._heights

    def add(self, height: int, ids: list[bytes]) -> None:
        """Ids executed at `height`."""
        for tx_id in ids:
            self._heights[tx_id] = height

    def discard(self, ids: list[bytes]) -> None:
        """Ids of a block that was discarded."""
        for tx_id in ids:
            self._heights.pop(tx_id, None)

    def prune(self, below: int) -> None:
        """Forget heights below `below`, here and in the store."""
        for height in range(self._oldest, below):
            raw = self._store.ids(height) or b""
            self.discard([raw[at : at + HASH_BYTES] for at in range(0, len(raw), HASH_BYTES)])
            self._store.prune(IDS, height)
        self._oldest = max(self._oldest, below)
