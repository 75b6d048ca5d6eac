"""A node's two keys."""

from pathlib import Path

import pytest

from carbonnode.errors import KeystoreError
from carbonnode.identity import KeyStore, Strength, create_node_keys, load_node_keys
from carbonnode.identity.nodekeys import CONSENSUS, TRANSPORT

FAST = Strength.THROW_AWAY


def test_two_different_keys(tmp_path: Path) -> None:
    consensus, transport = create_node_keys(tmp_path, "p", strength=FAST)
    keys = load_node_keys(tmp_path, "p")
    assert keys.consensus.public_key == consensus.public_key
    assert keys.transport.public_key == transport.public_key
    assert consensus.public_key != transport.public_key
    with pytest.raises(KeystoreError, match="already"):
        create_node_keys(tmp_path, "p", strength=FAST)


def test_one_key_in_both_places_is_refused(tmp_path: Path) -> None:
    store = KeyStore(tmp_path)
    for name in (CONSENSUS, TRANSPORT):
        store.create(name, "p", seed=bytes(32), strength=FAST)
    with pytest.raises(KeystoreError, match="are the same"):
        load_node_keys(tmp_path, "p")
