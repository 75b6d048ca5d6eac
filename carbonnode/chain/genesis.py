"""Genesis: who validates, which CAs are trusted, which parameters and contracts hold at height 0. Its hash is the chain id."""

from functools import cached_property
from pathlib import PurePath
from typing import Any

import msgspec

from carbonnode.chain import values
from carbonnode.chain.codec import Wire, encode
from carbonnode.chain.hashing import tagged_hash
from carbonnode.chain.limits import check_messages_fit
from carbonnode.chain.memory import check_memory
from carbonnode.chain.transaction import Call, WireCall
from carbonnode.chain.validators import Validator, ValidatorSet
from carbonnode.errors import ConfigError

GENESIS_VERSION = 1
GENESIS_SENDER = bytes(32)
"""The sender of the calls in genesis: no key, so nobody can sign as it later."""


class Parameters(Wire, frozen=True, kw_only=True):
    """Consensus and execution parameters of an epoch; times in ms, sizes in bytes, heights in blocks."""

    profile: str = "pbft"
    python: str = "3.11"
    window: int = 32
    block_interval_ms: int = 200
    idle_block_ms: int = 2_000
    base_timeout_ms: int = 1_000
    max_timeout_ms: int = 30_000
    time_skew_ms: int = 5_000
    max_block_transactions: int = 1_000
    max_block_bytes: int = 2 * 1024 * 1024
    max_block_gas: int = 50_000_000
    max_transaction_gas: int = 20_000_000
    job_gas: int = 8_000_000
    jobs_block_gas: int = 16_000_000
    view_gas: int = 20_000_000
    validity_blocks: int = 1_000
    epoch_blocks: int = 50
    undo_blocks: int = 256
    gas_schedule: int = 1

    @property
    def hash(self) -> bytes:
        """Binds every parameter."""
        return tagged_hash(b"parameters", encode(self))


class ContractSource(Wire, frozen=True):
    """A contract installed at height 0: its name and its source in the dialect."""

    name: str
    source: str


class WireGenesis(Wire, frozen=True):
    """The canonical form that is hashed."""

    version: int
    network: str
    time_ms: int
    test_clock: bool
    validators: tuple[Validator, ...]
    ca_roots: tuple[str, ...]
    parameters: Parameters
    contracts: tuple[ContractSource, ...]
    calls: tuple[WireCall, ...]
    invariants: tuple[tuple[str, str], ...]


class Genesis:
    """The start of a chain.

    `network` is a name for people; `test_clock` lets an authority move market time forward; `ca_roots` are PEM certificates; `calls` run in
    order as block 0, sent by `GENESIS_SENDER`; `invariants` are (contract, view) pairs that must return True after every block.
    Raises `ConfigError` for validators and parameters under which consensus might need a message that doesn't fit into a frame (`chain.limits`),
    or the executor more memory than it has (`chain.memory`).
    """

    def __init__(
        self,
        *,
        network: str,
        time_ms: int,
        validators: tuple[Validator, ...],
        ca_roots: tuple[str, ...],
        contracts: tuple[ContractSource, ...],
        calls: tuple[Call, ...] = (),
        parameters: Parameters | None = None,
        test_clock: bool = False,
        invariants: tuple[tuple[str, str], ...] = (),
    ) -> None:
        self.network = network
        self.time_ms = time_ms
        self.test_clock = test_clock
        self.ca_roots = ca_roots
        self.parameters = parameters if parameters is not None else Parameters()
        self.contracts = contracts
        self.calls = calls
        self.invariants = invariants
        self.validators = ValidatorSet(validators, self.parameters.profile)
        check_messages_fit(
            len(validators),
            self.validators.quorum,
            window=self.parameters.window,
            max_block_transactions=self.parameters.max_block_transactions,
            max_block_bytes=self.parameters.max_block_bytes,
        )
        check_memory(self.parameters)

    @cached_property
    def wire(self) -> WireGenesis:
        """The hashed form."""
        calls = tuple(WireCall(c.contract, c.method, tuple([values.to_wire(a) for a in c.args])) for c in self.calls)
        return WireGenesis(
            GENESIS_VERSION,
            self.network,
            self.time_ms,
            self.test_clock,
            self.validators.validators,
            self.ca_roots,
            self.parameters,
            self.contracts,
            calls,
            self.invariants,
        )

    @cached_property
    def chain_id(self) -> bytes:
        """32 bytes that every transaction, vote and handshake of this chain binds."""
        return tagged_hash(b"genesis", encode(self.wire))

    def to_json(self) -> bytes:
        """The genesis file: JSON with hex keys, indented."""
        data = {
            "version": GENESIS_VERSION,
            "network": self.network,
            "time_ms": self.time_ms,
            "test_clock": self.test_clock,
            "validators": [
                {"name": v.name, "role": v.role, "consensus_key": v.consensus_key.hex(), "transport_key": v.transport_key.hex()}
                for v in self.validators.validators
            ],
            "ca_roots": list(self.ca_roots),
            "parameters": {name: getattr(self.parameters, name) for name in Parameters.__struct_fields__},
            "contracts": [{"name": c.name, "source": c.source} for c in self.contracts],
            "calls": [{"contract": c.contract, "method": c.method, "args": [value_to_json(a) for a in c.args]} for c in self.calls],
            "invariants": [list(pair) for pair in self.invariants],
        }
        return msgspec.json.format(msgspec.json.encode(data), indent=1) + b"\n"


class _JsonValidator(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    role: str
    consensus_key: str
    transport_key: str


class _JsonContract(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    source: str


class _JsonCall(msgspec.Struct, forbid_unknown_fields=True):
    contract: str
    method: str
    args: list[Any] = msgspec.field(default_factory=list)


class _JsonGenesis(msgspec.Struct, forbid_unknown_fields=True):
    version: int
    network: str
    time_ms: int
    validators: list[_JsonValidator]
    ca_roots: list[str]
    contracts: list[_JsonContract]
    test_clock: bool = False
    parameters: dict[str, str | int] = msgspec.field(default_factory=dict)
    calls: list[_JsonCall] = msgspec.field(default_factory=list)
    invariants: list[tuple[str, str]] = msgspec.field(default_factory=list)


def parse_genesis(data: bytes, name: PurePath | str = "genesis") -> Genesis:
    """Read a genesis file's bytes. Raises `ConfigError` naming the file and the key that is wrong."""
    try:
        raw = msgspec.json.decode(data, type=_JsonGenesis)
        if raw.version != GENESIS_VERSION:
            raise ConfigError(f"{name}: genesis version {raw.version} is unknown: this release reads version {GENESIS_VERSION}")
        parameters = msgspec.convert(_checked_parameters(raw.parameters, name), Parameters)
        return Genesis(
            network=raw.network,
            time_ms=raw.time_ms,
            test_clock=raw.test_clock,
            validators=tuple(Validator(v.name, v.role, bytes.fromhex(v.consensus_key), bytes.fromhex(v.transport_key)) for v in raw.validators),
            ca_roots=tuple(raw.ca_roots),
            parameters=parameters,
            contracts=tuple(ContractSource(c.name, c.source) for c in raw.contracts),
            calls=tuple(Call(c.contract, c.method, tuple(value_from_json(a) for a in c.args)) for c in raw.calls),
            invariants=tuple(raw.invariants),
        )
    except (msgspec.DecodeError, ValueError) as error:
        raise ConfigError(f"{name}: {error}: correct the genesis file, or fetch it again from the network's organiser") from None


def _checked_parameters(given: dict[str, str | int], name: PurePath | str) -> list[str | int]:
    fields = Parameters.__struct_fields__
    for key, value in given.items():
        if key not in fields:
            raise ConfigError(f"{name}: parameters.{key} is unknown: the parameters are {', '.join(fields)}")
        if isinstance(value, int) and not isinstance(value, bool) and value <= 0:
            raise ConfigError(f"{name}: parameters.{key} must be positive, not {value}")
    defaults = Parameters()
    return [given.get(field, getattr(defaults, field)) for field in fields]


def value_to_json(value: values.Value) -> Any:
    """A contract value as JSON: bytes become {"hex": ...}, large integers stay integers, tuples become lists."""
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    if isinstance(value, tuple):
        return [value_to_json(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool) and not -(1 << 63) <= value < 1 << 64:
        return {"int": str(value)}
    return value


_MAX_JSON_DEPTH = 8


def value_from_json(value: Any, depth: int = 0) -> values.Value:
    """The contract value of `value_to_json`'s form. Raises `ValueError` for anything else (floats included)."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, list):
        if depth >= _MAX_JSON_DEPTH:
            raise ValueError("lists are nested too deep: a contract takes tuples of tuples at most")
        return tuple([value_from_json(item, depth + 1) for item in value])
    if isinstance(value, dict) and list(value) == ["hex"] and isinstance(value["hex"], str):
        try:
            return bytes.fromhex(value["hex"])
        except ValueError:
            raise ValueError(f'{{"hex": "{value["hex"][:80]}"}} isn\'t hexadecimal: write two digits of 0-9 and a-f for each byte') from None
    if isinstance(value, dict) and list(value) == ["int"] and isinstance(value["int"], str):
        try:
            return int(value["int"])
        except ValueError:
            raise ValueError(f'{{"int": "{value["int"][:80]}"}} is no integer: write decimal digits with an optional minus') from None
    raise ValueError(f'{value!r} is no contract value: use null, true, false, an integer, a text, a list, or {{"hex": "..."}}')
