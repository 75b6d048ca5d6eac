"""The validator set of an epoch: who votes, with which keys, in which order."""

from functools import cached_property

from carbonnode.chain.codec import Wire, encode
from carbonnode.chain.hashing import tagged_hash
from carbonnode.chain.quorum import faults, majority, quorum
from carbonnode.chain.signing import PUBLIC_KEY_BYTES
from carbonnode.errors import ConfigError

ROLES = ("super", "coordination", "user")
VOTING_ROLES = ("super", "coordination")
PROFILES = ("pbft", "cft")


class Validator(Wire, frozen=True):
    """One voting node: its unique name, its role, its consensus key and its libp2p transport key (both Ed25519, 32 bytes)."""

    name: str
    role: str
    consensus_key: bytes
    transport_key: bytes


class ValidatorSet:
    """An ordered set of validators; a validator's index in it is its number in votes and certificates.

    Raises `ConfigError` on duplicate names or keys, and on roles that don't vote.
    """

    def __init__(self, validators: tuple[Validator, ...], profile: str = "pbft") -> None:
        self.validators = validators
        self.profile = profile
        if profile not in PROFILES:
            raise ConfigError(f"consensus profile {profile!r} is unknown: choose one of {', '.join(PROFILES)}")
        names = [v.name for v in validators]
        keys = [v.consensus_key for v in validators] + [v.transport_key for v in validators]
        if not validators or len(set(names)) != len(names) or len(set(keys)) != len(keys):
            raise ConfigError("validators need unique names and unique consensus and transport keys, and at least one must exist")
        for validator in validators:
            if validator.role not in VOTING_ROLES:
                raise ConfigError(f"validator {validator.name} has role {validator.role!r}: only super and coordination nodes vote")
            if len(validator.consensus_key) != PUBLIC_KEY_BYTES or len(validator.transport_key) != PUBLIC_KEY_BYTES:
                raise ConfigError(f"validator {validator.name}: keys have {PUBLIC_KEY_BYTES} bytes")

    def __len__(self) -> int:
        return len(self.validators)

    def __getitem__(self, index: int) -> Validator:
        return self.validators[index]

    @cached_property
    def quorum(self) -> int:
        """How many votes decide."""
        return majority(len(self)) if self.profile == "cft" else quorum(len(self))

    @cached_property
    def faults(self) -> int:
        """f, how many members may be Byzantine (crash-faulty under `cft`)."""
        return (len(self) - 1) // 2 if self.profile == "cft" else faults(len(self))

    @cached_property
    def hash(self) -> bytes:
        """Binds names, roles, keys, order and profile."""
        return tagged_hash(b"validators", self.profile.encode(), encode(self.validators))

    def index_of(self, consensus_key: bytes) -> int | None:
        """The index of the member with this consensus key, or None."""
        for index, validator in enumerate(self.validators):
            if validator.consensus_key == consensus_key:
                return index
        return None

    def index_of_name(self, name: str) -> int | None:
        """The index of the member with this name, or None."""
        return self._by_name.get(name)

    @cached_property
    def _by_name(self) -> dict[str, int]:
        return {validator.name: index for index, validator in enumerate(self.validators)}

    def primary(self, view: int) -> int:
        """The index of the view's primary: round robin."""
        return view % len(self)
