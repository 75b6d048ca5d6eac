"""The two keys of a node, apart on disk and in use: the consensus key signs votes, the transport key names the libp2p host."""

from dataclasses import dataclass
from pathlib import Path

from carbonnode.chain.signing import KeySigner
from carbonnode.errors import KeystoreError
from carbonnode.identity.keystore import KeyInfo, KeyStore, Strength

CONSENSUS = "consensus"
TRANSPORT = "transport"


@dataclass(frozen=True, slots=True)
class NodeKeys:
    """Unlocked keys. `transport_seed` goes to the libp2p host, which takes nothing else."""

    consensus: KeySigner
    transport: KeySigner
    transport_seed: bytes


def create_node_keys(directory: Path, passphrase: str, *, strength: Strength = Strength.SENSITIVE) -> tuple[KeyInfo, KeyInfo]:
    """Make (consensus, transport) in `directory`. Raises `KeystoreError` if either exists."""
    store = KeyStore(directory)
    taken = [info.name for info in store.list_keys() if info.name in (CONSENSUS, TRANSPORT)]
    if taken:
        raise KeystoreError(f"{directory} holds the node key {taken[0]!r} already: keys are never overwritten")
    return store.create(CONSENSUS, passphrase, strength=strength), store.create(TRANSPORT, passphrase, strength=strength)


def load_node_keys(directory: Path, passphrase: str) -> NodeKeys:
    """Unlock both keys. Raises `KeystoreError`."""
    store = KeyStore(directory)
    consensus, seed = store.unlock(CONSENSUS, passphrase), store.reveal(TRANSPORT, passphrase)
    transport = KeySigner(seed)
    if consensus.public_key == transport.public_key:
        raise KeystoreError(f"consensus and transport key in {directory} are the same: make two, one must not stand in for the other")
    return NodeKeys(consensus=consensus, transport=transport, transport_seed=seed)
