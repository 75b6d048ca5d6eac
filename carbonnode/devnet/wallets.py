"""The devnet's signing keys: an encrypted key store under the throw-away passphrase; unlocked ones stay in memory for the run."""

from collections.abc import Sequence
from pathlib import Path

from carbonnode.chain.signing import Signer
from carbonnode.identity import KeyStore, Strength


class Wallets:
    """Signers by wallet name."""

    def __init__(self, directory: Path, passphrase: str) -> None:
        self._store = KeyStore(directory)
        self._passphrase = passphrase
        self._open: dict[str, Signer] = {}

    def ensure(self, names: Sequence[str]) -> None:
        """Make the wallets that don't exist yet."""
        there = {info.name for info in self._store.list_keys()}
        for name in names:
            if name not in there:
                self._store.create(name, self._passphrase, strength=Strength.THROW_AWAY)

    def signer(self, name: str) -> Signer:
        """The signer of a wallet. Raises `KeystoreError`."""
        if name not in self._open:
            self._open[name] = self._store.unlock(name, self._passphrase)
        return self._open[name]
