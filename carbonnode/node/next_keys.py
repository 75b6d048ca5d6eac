"""A validator's next keys, made before the vote that names them: keys and certificate in `next/` of its directory."""

from collections.abc import Callable
from pathlib import Path

import msgspec

from carbonnode.errors import ConfigError
from carbonnode.identity import KeyStore, create_node_keys
from carbonnode.node.clock import SystemClock
from carbonnode.node.directory import NodeDirectory
from carbonnode.storage.datadir import write_durably


class NextKeys(msgspec.Struct, frozen=True):
    """Public keys in hex. `ready` says that the certificate lies beside them."""

    name: str
    role: str
    consensus_key: str
    transport_key: str
    ready: bool


def lay_down(node: NodeDirectory, passphrase: Callable[[str], str], certificate: Path | None) -> NextKeys:
    """Make keys if there are none, and put `certificate` beside them.

    `passphrase` (of the node's name) is asked for new keys only; the node is started with the same. Raises `ConfigError` or `CertificateRefused` if
    the certificate isn't for these keys and this node.
    """
    config = node.config()
    path = node.next_path
    keys = {info.name: info.public_key for info in KeyStore(path / "keys").list_keys()}
    if not keys:
        keys = {info.name: info.public_key for info in create_node_keys(path / "keys", passphrase(config.node.name))}
    if certificate is not None:
        try:
            data = certificate.read_bytes()
        except OSError as error:
            raise ConfigError(f"certificate {certificate}: {error.strerror or error}: check the path") from None
        identity = node.trust(config, node.genesis()).verify(data, keys["transport"], SystemClock().wall_ms())
        if (identity.name, identity.role) != (config.node.name, config.node.role):
            raise ConfigError(f"{certificate} is of {identity.name} ({identity.role}), this node is {config.node.name} ({config.node.role})")
        write_durably(path / "certificate.pem", data)
    ready = node.next_member(config) is not None
    return NextKeys(config.node.name, config.node.role, keys["consensus"].hex(), keys["transport"].hex(), ready)


def take(node: NodeDirectory) -> None:
    """Make the next keys a stopped node's own. Raises `ConfigError` if they aren't complete, `StorageError` if the node runs."""
    if node.next_member(node.config()) is None:
        raise ConfigError(f"{node.next_path} lacks keys or their certificate: run `carbonnode rotate-keys --certificate FILE` first")
    with node.open_data(node.genesis()):
        node.promote_next()
