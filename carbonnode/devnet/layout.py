"""Where a devnet keeps what: one directory with the CA, wallets, genesis, a directory a node, and `devnet.json`, which describes them."""

import os
from pathlib import Path

import msgspec

from carbonnode.errors import ConfigError

FORMAT = 1
HOST = "127.0.0.1"


class NodeEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One node of the devnet: its name, role, organisation (= certificate subject O) and ports on loopback."""

    name: str
    role: str
    organisation: str
    peer_port: int
    api_port: int

    @property
    def api(self) -> str:
        """Base URL of its HTTP API."""
        return f"http://{HOST}:{self.api_port}"


class Description(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of `devnet.json`."""

    format: int
    network: str
    base_port: int
    nodes: tuple[NodeEntry, ...]


class Layout:
    """Paths below the devnet's directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()
        self.description_path = self.directory / "devnet.json"
        self.genesis_path = self.directory / "genesis.json"
        self.passphrase_path = self.directory / "passphrase"
        self.ca = self.directory / "ca"
        self.wallets = self.directory / "wallets"
        self.year = self.directory / "year"

    def node(self, name: str) -> Path:
        """A node's own directory."""
        return self.directory / "nodes" / name

    def pid_path(self, name: str) -> Path:
        """Which process runs the node: written and read by `processes`."""
        return self.node(name) / "devnet.pid"

    def output_path(self, name: str) -> Path:
        """What the node's process writes to stdout and stderr (its log is `logs/node.log`)."""
        return self.node(name) / "logs" / "process.log"

    @property
    def exists(self) -> bool:
        """Whether a devnet was made here."""
        return self.description_path.exists()

    def describe(self) -> Description:
        """Read `devnet.json`. Raises `ConfigError`."""
        try:
            description = msgspec.json.decode(self.description_path.read_bytes(), type=Description)
        except FileNotFoundError:
            raise ConfigError(f"there is no devnet in {self.directory}: `carbonnode devnet up --dir {self.directory}` makes one") from None
        except (OSError, msgspec.DecodeError) as error:
            raise ConfigError(f"{self.description_path} can't be read: {error}: remove {self.directory} and make the devnet anew") from None
        if description.format != FORMAT:
            raise ConfigError(f"{self.description_path} has format {description.format}: remove {self.directory} and make the devnet anew")
        return description

    def write_description(self, description: Description) -> None:
        """Write `devnet.json`, last of all: with it the devnet is complete."""
        fresh = self.description_path.with_suffix(".new")
        fresh.write_bytes(msgspec.json.format(msgspec.json.encode(description), indent=1) + b"\n")
        fresh.replace(self.description_path)

    def passphrase(self) -> str:
        """The throw-away passphrase of every key here. Raises `ConfigError`."""
        try:
            return self.passphrase_path.read_text("ascii").strip()
        except OSError as error:
            raise ConfigError(f"{self.passphrase_path} can't be read ({error.strerror}): remove {self.directory} and make the devnet anew") from None


def write_private(path: Path, content: str) -> None:
    """A new file that only its owner may read."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(content)
