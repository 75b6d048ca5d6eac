"""A state database made of a snapshot's chunks: what a node that fetched one begins with."""

from collections.abc import Callable, Sequence

from carbonnode.chain.codec import encode
from carbonnode.chain.ports import KV
from carbonnode.errors import InvalidBlock
from carbonnode.ledger import layout
from carbonnode.ledger.snapshot import Verified, check_chunk, top_nodes
from carbonnode.ledger.store import Tip
from carbonnode.ledger.tree import Leaf


def build_state(kv: KV, snapshot: Verified, read: Callable[[str], bytes], ids: Sequence[tuple[int, bytes]]) -> None:
    """Fill the empty `kv` with the state of `snapshot`; `read` gives a chunk's bytes by its name.

    `ids` are the ids executed at each of the last heights, one after another: an id must not run again. Where the state stands is written last and synced,
    so that a database without it is known for unfinished. Raises `InvalidBlock` if a chunk isn't the certified one.
    """
    header, chunks = snapshot.header, snapshot.manifest.chunks
    single: dict[bytes, Leaf] = {}
    for ref in chunks:
        leaves, nodes, leaf = check_chunk(ref, read(ref.name))
        puts = [(layout.VALUE + item.key, item.record) for item in leaves]
        puts += [(layout.NODE + path, record) for path, record in nodes.items() if record is not None]
        if leaf is not None:
            single[ref.path] = leaf
        kv.write(puts)
    root, top = top_nodes(chunks, single)
    if root != header.state_root:
        raise InvalidBlock(f"the chunks of height {header.height} don't give its state root", code="manifest")
    base = header.height.to_bytes(8, "big")
    tip = Tip(header.chain_id, header.height, snapshot.certificate.header_hash, header.state_root)
    kv.write([(layout.NODE + path, record) for path, record in top.items()])
    kv.write([(layout.height_key(layout.IDS, height), joined) for height, joined in ids])
    kv.write([(layout.height_key(layout.HEADER, header.height), header.encoded), (layout.BASE, base), (layout.TIP, encode(tip))], sync=True)
