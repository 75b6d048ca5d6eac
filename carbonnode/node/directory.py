"""A node's directory: `config.toml`, `genesis.json`, `keys/`, `certificate.pem`, `data/` (databases and journal), `logs/`."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from getpass import getpass
from pathlib import Path

from carbonnode.chain.genesis import Genesis, parse_genesis
from carbonnode.chain.validators import Validator
from carbonnode.errors import ConfigError
from carbonnode.identity import KeyStore, NodeKeys, RevocationList, TrustStore, load_node_keys
from carbonnode.identity.keystore import read_passphrase_file
from carbonnode.node.config import NodeConfig, load_config, to_toml
from carbonnode.storage.datadir import DataDirectory, sync_directory, write_durably

PASSPHRASE_VARIABLE = "CARBONNODE_PASSPHRASE_FILE"  # noqa: S105 - the name of a variable that names a file
VOTED = "voted"
"""In `keys/`: these keys have voted, so whoever finds no journal with them must not vote at once."""
_MADE_BY_INIT = "`carbonnode init` makes it"


@dataclass(frozen=True, slots=True)
class NodeDirectory:
    """Paths in a node's directory, and what is read from them."""

    path: Path

    @property
    def config_path(self) -> Path:
        """config.toml"""
        return self.path / "config.toml"

    @property
    def genesis_path(self) -> Path:
        """genesis.json"""
        return self.path / "genesis.json"

    @property
    def keys_path(self) -> Path:
        """The key store of the node's two keys."""
        return self.path / "keys"

    @property
    def certificate_path(self) -> Path:
        """The node's certificate chain, PEM."""
        return self.path / "certificate.pem"

    @property
    def revocations_path(self) -> Path:
        """An optional revocation list of the authorities, PEM."""
        return self.path / "revocations.pem"

    @property
    def data_path(self) -> Path:
        """The data directory."""
        return self.path / "data"

    @property
    def log_path(self) -> Path:
        """logs/node.log"""
        return self.path / "logs" / "node.log"

    def create(self, config: NodeConfig, genesis: bytes, certificate: bytes) -> None:
        """Write what a node starts from; the keys must lie in `keys/` already (`identity.create_node_keys`).

        Raises `ConfigError` if a node is there already or something given is wrong, `StorageError` if data is.
        """
        if self.config_path.exists():
            raise ConfigError(f"{self.path} holds a node already: choose another directory, or remove it to start anew")
        config.validate(str(self.config_path))
        parsed = parse_genesis(genesis, self.genesis_path)
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / "logs").mkdir(exist_ok=True)
        DataDirectory.create(self.data_path, parsed.chain_id)
        write_durably(self.genesis_path, genesis)
        write_durably(self.certificate_path, certificate)
        # Last: a directory is a node's once its config stands there.
        write_durably(self.config_path, to_toml(config).encode())

    def config(self) -> NodeConfig:
        """The settings. Raises `ConfigError`."""
        return load_config(self.config_path)

    def genesis(self) -> Genesis:
        """The genesis. Raises `ConfigError`."""
        return parse_genesis(self.genesis_bytes(), self.genesis_path)

    def genesis_bytes(self) -> bytes:
        """The genesis file as it is. Raises `ConfigError`."""
        return _read(self.genesis_path)

    def certificate(self) -> bytes:
        """The certificate chain. Raises `ConfigError`."""
        return _read(self.certificate_path)

    @property
    def next_path(self) -> Path:
        """Keys and certificate that take over when the validator set names them."""
        return self.path / "next"

    def next_member(self, config: NodeConfig) -> Validator | None:
        """This node as the validator that `next/` holds the keys of; None if they, or their certificate, aren't there."""
        keys = {info.name: info.public_key for info in KeyStore(self.next_path / "keys").list_keys()}
        if not {"consensus", "transport"} <= set(keys) or not (self.next_path / "certificate.pem").exists():
            return None
        return Validator(config.node.name, config.node.role, keys["consensus"], keys["transport"])

    def promote_next(self) -> None:
        """Make what lies in `next/` the node's own; the former keys stay beside, as `keys.former-N`.

        A step that a crash left undone is done by the next call.
        """
        fresh = self.next_path / "keys"
        if fresh.exists():
            if self.keys_path.exists():
                former = next(path for n in range(1, 10_000) if not (path := self.path / f"keys.former-{n}").exists())
                self.keys_path.rename(former)
            fresh.rename(self.keys_path)
        certificate = self.next_path / "certificate.pem"
        if certificate.exists():
            certificate.replace(self.certificate_path)
        sync_directory(self.path)

    @property
    def half_promoted(self) -> bool:
        """Whether a crash interrupted `promote_next`."""
        fresh, certificate = (self.next_path / "keys").exists(), (self.next_path / "certificate.pem").exists()
        return (fresh and not self.keys_path.exists()) or (certificate and not fresh)

    def open_data(self, genesis: Genesis) -> DataDirectory:
        """Lock the data directory and check that it holds this chain. Raises `StorageError` or `ConfigError`."""
        return DataDirectory.open(self.data_path, genesis.chain_id)

    def keys(self, config: NodeConfig, environment: Mapping[str, str]) -> NodeKeys:
        """Unlock the node's keys. Raises `KeystoreError` or `ConfigError`."""
        path = self._passphrase_path(config, environment)
        if path is None:
            if not sys.stdin.isatty():
                raise ConfigError(f"no passphrase for the keys of {self.path}: set keys.passphrase_file in config.toml, or {PASSPHRASE_VARIABLE}")
            return load_node_keys(self.keys_path, getpass(f"Passphrase of the keys in {self.keys_path}: "))
        return load_node_keys(self.keys_path, read_passphrase_file(path))

    def _passphrase_path(self, config: NodeConfig, environment: Mapping[str, str]) -> Path | None:
        if config.keys.passphrase_file:
            return self.path / config.keys.passphrase_file
        given = environment.get(PASSPHRASE_VARIABLE, "")
        return Path(given) if given else None

    def trust(self, config: NodeConfig, genesis: Genesis) -> TrustStore:
        """Which certificates this node accepts: authorities of genesis, the revocation list if there is one. Raises `ConfigError`."""
        store = TrustStore([root.encode() for root in genesis.ca_roots], genesis.chain_id, config.network.domains)
        if self.revocations_path.exists():
            store.set_revocations(RevocationList().with_crl(_read(self.revocations_path), store.roots))
        return store


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ConfigError(f"{path} is missing: {_MADE_BY_INIT}") from None
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror}") from None
