"""The whole state checked against its root: the tree built anew from every leaf record."""

from carbonnode.chain.ports import KVReader
from carbonnode.ledger import layout
from carbonnode.ledger.salts import SALT_BYTES
from carbonnode.ledger.tree import commit, fresh_root, key_hash, make_leaf


def rebuilt_root(kv: KVReader) -> bytes:
    """The root that the stored leaf records give; takes memory and time in proportion to the state."""
    return fresh_root(
        make_leaf(key_hash(key[1:]), commit(record[:SALT_BYTES], record[SALT_BYTES:]))
        for key, record in kv.iterate(start=layout.VALUE, stop=layout.prefix_end(layout.VALUE))
    )
