"""One node's state taken back to an earlier certified height by its undo records (design, section 9): the chain's history stays what it is."""

from collections.abc import Mapping

from carbonnode.chain.codec import encode
from carbonnode.chain.ports import KV
from carbonnode.errors import StorageError
from carbonnode.ledger import layout
from carbonnode.ledger.salts import SALT_BYTES
from carbonnode.ledger.store import StateStore, Tip
from carbonnode.ledger.tree import TreeUpdate, commit, delete_leaf, key_hash, make_leaf


def roll_back(kv: KV, height: int, ids: Mapping[int, bytes]) -> None:
    """Make the state that of `height`, in one synced write. `ids` are those executed at the heights up to it, as far back as an id is valid.

    Raises `StorageError`: `pruned` if undo records don't reach back so far, `corrupt` if they don't lead to the certified root.
    """
    store = StateStore(kv)
    tip, header = store.tip, store.header(height)
    if tip is None or header is None:
        raise StorageError(f"the undo records don't reach back to height {height}", code="pruned")
    old: dict[bytes, bytes | None] = {}
    for above in range(tip.height, height, -1):
        undo = store.undo(above)
        if undo is None:
            raise StorageError(f"the undo record of height {above} is pruned: the state can't be taken back to {height} by undo records", code="pruned")
        old.update(undo.records)
    update = TreeUpdate(store.node)
    root = update.apply(
        delete_leaf(key_hash(key)) if record is None else make_leaf(key_hash(key), commit(record[:SALT_BYTES], record[SALT_BYTES:]))
        for key, record in old.items()
    )
    if root != header.state_root:
        raise StorageError(f"the undo records don't lead back to the state root of height {height}: run `carbonnode verify-store`", code="corrupt")
    changes = [(layout.VALUE + key, record) for key, record in old.items()] + [(layout.NODE + path, node) for path, node in update.writes.items()]
    puts = [(key, value) for key, value in changes if value is not None]
    puts += [(layout.height_key(layout.IDS, at), joined) for at, joined in ids.items()]
    puts.append((layout.TIP, encode(Tip(header.chain_id, height, header.hash, header.state_root))))
    deletes = [key for key, value in changes if value is None]
    deletes += [layout.height_key(kind, above) for above in range(height + 1, tip.height + 1) for kind in (layout.UNDO, layout.HEADER, layout.IDS)]
    kv.write(puts, deletes, sync=True)
