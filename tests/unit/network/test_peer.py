"""Peer ids without libp2p: the same text that it computes."""

import subprocess
import sys
import warnings

from carbonnode.chain.signing import KeySigner
from carbonnode.network.peer import peer_id_text, transport_key_of


def test_peer_ids_are_libp2ps() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from libp2p.crypto.ed25519 import create_new_key_pair
        from libp2p.peer.id import ID
    for number in range(5):
        seed = bytes([number]) * 32
        key = KeySigner(seed).public_key
        peer_id = ID.from_pubkey(create_new_key_pair(seed).public_key)
        assert peer_id_text(key) == str(peer_id)
        assert transport_key_of(peer_id.to_bytes()) == key


def test_other_kinds_of_keys_have_no_transport_key() -> None:
    assert transport_key_of(b"\x12\x20" + bytes(32)) is None
    assert transport_key_of(b"") is None


def test_the_package_imports_neither_libp2p_nor_trio() -> None:
    code = "import sys, carbonnode.network; print([m for m in ('libp2p', 'trio') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
