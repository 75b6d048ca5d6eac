"""A node's settings: `config.toml`, typed, checked at start, passed in and never global.

An unknown key is an error that names it and the nearest key that exists, so that a slip of the pen never runs with a default in silence.
"""

import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

import msgspec

from carbonnode.chain.memory import EXECUTOR_BYTES
from carbonnode.chain.signing import PUBLIC_KEY_BYTES
from carbonnode.chain.validators import ROLES
from carbonnode.errors import ConfigError

LOG_LEVELS = ("debug", "info", "warning", "error")
MAX_PORT = 65_535
LEAST_MEMORY_MB = EXECUTOR_BYTES >> 20


class NodeSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who this node is. `name` must be the common name of its certificate."""

    name: str
    role: str
    log_level: str = "info"
    record: bool = False
    """Write every consensus event and action to logs/consensus.ndjson, for replay in the simulator."""


class PeerSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A node to dial. `transport_key` is its libp2p Ed25519 key, 64 hex digits."""

    name: str
    host: str
    port: int
    transport_key: str

    @property
    def key(self) -> bytes:
        """The transport key's 32 bytes."""
        return bytes.fromhex(self.transport_key)


class NetworkSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where to listen for peers, and whom to dial. Times in milliseconds."""

    host: str = "127.0.0.1"
    port: int = 27_000
    peers: tuple[PeerSection, ...] = ()
    domains: tuple[str, ...] = ("carbonnode.example",)
    """Domains in which the names of node certificates must lie."""
    heartbeat_ms: int = 1_000
    dead_after_ms: int = 6_000
    redial_max_ms: int = 2_000


class ApiSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where HTTP listens: loopback, until sign-in exists."""

    host: str = "127.0.0.1"
    port: int = 27_001


class MempoolSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds of what waits to be ordered; sizes in bytes."""

    max_transactions: int = 50_000
    max_bytes: int = 128 * 1024 * 1024
    per_account: int = 5_000
    verify_chunk: int = 100
    """Signatures verified in one go by a thread."""
    flood_ms: int = 25
    """How long a transaction waits for others that share its frame."""


class StorageSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`reserve_bytes` of disk space are never written to: below them the node stops voting and resumes by itself.

    Every `snapshot_blocks` heights (0: never) a validator writes a snapshot of the state, for others to fetch; one that is more than `snapshot_lag` blocks
    behind fetches one instead of executing those blocks (0: never; it keeps every block from genesis then).
    """

    reserve_bytes: int = 64 * 1024 * 1024
    snapshot_blocks: int = 1_000
    snapshot_lag: int = 1_000


class ExecutorSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The executor process. `sandbox` confines it with what the kernel offers (seccomp, Landlock), to `memory_mb` of private memory too (0: no limit).

    A process that gives no answer for `patience_s` is killed and started again.
    """

    sandbox: bool = True
    memory_mb: int = 4096
    patience_s: int = 120


class KeysSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`passphrase_file` opens the node's key store; relative paths start at the node's directory. Empty: CARBONNODE_PASSPHRASE_FILE, then a prompt."""

    passphrase_file: str = ""


class NodeConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole of `config.toml`."""

    node: NodeSection
    network: NetworkSection = NetworkSection()
    api: ApiSection = ApiSection()
    mempool: MempoolSection = MempoolSection()
    storage: StorageSection = StorageSection()
    executor: ExecutorSection = ExecutorSection()
    keys: KeysSection = KeysSection()

    def validate(self, where: str = "config.toml") -> None:
        """Raise `ConfigError` naming the key whose value can't be."""
        if self.node.role not in ROLES:
            raise ConfigError(f"{where}: node.role is {self.node.role!r}: choose one of {', '.join(ROLES)}")
        if self.node.log_level not in LOG_LEVELS:
            raise ConfigError(f"{where}: node.log_level is {self.node.log_level!r}: choose one of {', '.join(LOG_LEVELS)}")
        if not self.node.name:
            raise ConfigError(f"{where}: node.name is empty: give the common name of the node's certificate")
        for key, port in (("network.port", self.network.port), ("api.port", self.api.port)):
            if not 0 <= port <= MAX_PORT:
                raise ConfigError(f"{where}: {key} is {port}: a port lies in 0..{MAX_PORT} (0 takes a free one)")
        if not self.network.domains or not all(self.network.domains):
            raise ConfigError(f"{where}: network.domains is empty: name the domain in which node certificates lie")
        names = [peer.name for peer in self.network.peers]
        if len(set(names)) != len(names):
            raise ConfigError(f"{where}: network.peers names a peer twice")
        for peer in self.network.peers:
            _check_peer(peer, where)
        _check_positive(self, where)
        if 0 != self.executor.memory_mb < LEAST_MEMORY_MB:
            raise ConfigError(f"{where}: executor.memory_mb is {self.executor.memory_mb}: give at least {LEAST_MEMORY_MB}, or 0 for no limit")


def _check_peer(peer: PeerSection, where: str) -> None:
    if not 0 < peer.port <= MAX_PORT:
        raise ConfigError(f"{where}: network.peers: port of {peer.name!r} is {peer.port}: it lies in 1..{MAX_PORT}")
    try:
        key = peer.key
    except ValueError:
        key = b""
    if len(key) != PUBLIC_KEY_BYTES:
        raise ConfigError(f"{where}: network.peers: transport_key of {peer.name!r} isn't 64 hex digits: copy it from the peer's certificate or genesis")


def _check_positive(config: NodeConfig, where: str) -> None:
    amounts = {
        "network.heartbeat_ms": config.network.heartbeat_ms,
        "network.redial_max_ms": config.network.redial_max_ms,
        "mempool.max_transactions": config.mempool.max_transactions,
        "mempool.max_bytes": config.mempool.max_bytes,
        "mempool.per_account": config.mempool.per_account,
        "mempool.verify_chunk": config.mempool.verify_chunk,
        "storage.reserve_bytes": config.storage.reserve_bytes,
        "executor.patience_s": config.executor.patience_s,
    }
    for key, amount in amounts.items():
        if amount < 1:
            raise ConfigError(f"{where}: {key} is {amount}: it must be at least 1")
    for key, amount in (("snapshot_blocks", config.storage.snapshot_blocks), ("snapshot_lag", config.storage.snapshot_lag)):
        if amount < 0:
            raise ConfigError(f"{where}: storage.{key} is {amount}: it must be at least 0, which switches it off")
    if config.network.dead_after_ms <= config.network.heartbeat_ms:
        raise ConfigError(f"{where}: network.dead_after_ms must exceed network.heartbeat_ms ({config.network.heartbeat_ms}), or idle links are closed")


def parse_config(text: str, where: str = "config.toml") -> NodeConfig:
    """Read a config file's text. Raises `ConfigError` naming the file, the key and the remedy."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where}: not valid TOML: {error}: correct the file") from None
    _check_keys(raw, NodeConfig, "", where)
    try:
        config = msgspec.convert(raw, NodeConfig)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {error}: correct that key") from None
    config.validate(where)
    return config


def load_config(path: Path) -> NodeConfig:
    """Read the config file at `path`. Raises `ConfigError`."""
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file: `carbonnode init --dir {path.parent}` makes a node directory") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: can't be read: {error}") from None
    return parse_config(text, str(path))


def _check_keys(raw: dict[str, Any], kind: type[msgspec.Struct], prefix: str, where: str) -> None:
    fields = {field.name: field.type for field in msgspec.structs.fields(kind)}
    for key, value in raw.items():
        if key not in fields:
            raise ConfigError(f"{where}: unknown key {prefix}{key}: {_nearest(prefix, key, list(fields))}")
        inner = _struct_of(fields[key])
        if inner is None:
            continue
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, dict):
                _check_keys(item, inner, f"{prefix}{key}.", where)


def _nearest(prefix: str, key: str, known: list[str]) -> str:
    close = get_close_matches(key, known, n=1, cutoff=0.5)
    if close:
        return f"did you mean {prefix}{close[0]}?"
    return f"the keys here are {', '.join(prefix + name for name in known)}"


def _struct_of(kind: Any) -> type[msgspec.Struct] | None:
    for candidate in (kind, *get_args(kind)):
        if isinstance(candidate, type) and issubclass(candidate, msgspec.Struct):
            return candidate
    return None


def to_toml(config: NodeConfig) -> str:
    """The file's text, every key written out, so that an operator sees what can be set."""
    lines: list[str] = ["# Settings of a carbonnode node. An unknown key is an error. Times in ms, sizes in bytes."]
    raw: dict[str, dict[str, Any]] = msgspec.to_builtins(config)
    for section, values in raw.items():
        tables = {key: value for key, value in values.items() if key in _TABLES}
        lines += ["", f"[{section}]", *(f"{key} = {_toml(value)}" for key, value in values.items() if key not in tables)]
        for key, rows in tables.items():
            for row in rows:
                lines += ["", f"[[{section}.{key}]]", *(f"{name} = {_toml(value)}" for name, value in row.items())]
    return "\n".join(lines) + "\n"


_TABLES = frozenset({"peers"})


def _toml(value: bool | int | str | list[str]) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    # A TOML basic string escapes as JSON does.
    return msgspec.json.encode(value).decode()
