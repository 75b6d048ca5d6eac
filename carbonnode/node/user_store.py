"""What a user node keeps: verified blocks as its organisation sees them, in a LevelDB of its own, with an index of its transactions.

Keys: `u/` + height: the user block; `t/` + id: height and place of an own transaction; `x/` + id: proof file of a transaction submitted here that is
nobody's of the organisation; `p/` + id: raw bytes of a submission that isn't settled yet; `c/` + height: a change of validators; `m/trail`.
"""

from collections.abc import Iterator

from carbonnode.chain.codec import Wire, decode, encode
from carbonnode.chain.genesis import Genesis
from carbonnode.chain.header import Header
from carbonnode.chain.ports import KV
from carbonnode.chain.proof import ValidatorChange
from carbonnode.chain.validators import Validator, ValidatorSet
from carbonnode.errors import ConfigError, InvalidBlock, StorageError
from carbonnode.node.user_verify import Trail, VerifiedBlock
from carbonnode.node.wire import UserBlock

_TRAIL = b"m/trail"
_REPAIR = "remove the node's data directory and make it anew with `carbonnode init`: everything is fetched again"
MAX_RECORD_BYTES = 64 * 1024 * 1024


class _StoredTrail(Wire, frozen=True):
    organisation: str
    height: int
    header_hash: bytes
    validators: tuple[Validator, ...]
    sequences: tuple[tuple[str, int], ...]


class Place(Wire, frozen=True):
    """Where an own transaction stands: height, and index in the user block's transactions."""

    height: int
    index: int


def _height_key(kind: bytes, height: int) -> bytes:
    return kind + height.to_bytes(8, "big")


class UserStore:
    """Opened with the organisation it was made for. Raises `ConfigError` for another one, `StorageError` for damage."""

    def __init__(self, kv: KV, genesis: Genesis, organisation: str) -> None:
        self._kv = kv
        raw = kv.get(_TRAIL)
        profile = genesis.parameters.profile
        if raw is None:
            self.trail = Trail(genesis.chain_id, organisation, profile, -1, b"", genesis.validators, {})
            return
        try:
            stored = decode(raw, _StoredTrail)
        except InvalidBlock as error:
            raise StorageError(f"the user node's position is damaged ({error}): {_REPAIR}", code="corrupt") from None
        if stored.organisation != organisation:
            raise ConfigError(
                f"the data belongs to organisation {stored.organisation}, the certificate is of {organisation}: use another directory for another owner"
            )
        validators = ValidatorSet(stored.validators, profile)
        self.trail = Trail(genesis.chain_id, organisation, profile, stored.height, stored.header_hash, validators, dict(stored.sequences))
        if decode(self.block(stored.height).header, Header).hash != stored.header_hash:
            raise StorageError(f"block {stored.height} of the user node isn't the one it verified last: {_REPAIR}", code="corrupt")

    @property
    def height(self) -> int:
        """The last verified height, -1 before block 0."""
        return self.trail.height

    def put(self, verified: VerifiedBlock, *, sync: bool = False) -> None:
        """Append a verified block, with its index, atomically."""
        height = verified.header.height
        trail = verified.trail
        stored = _StoredTrail(
            trail.organisation, trail.height, trail.header_hash, trail.validators.validators, tuple(sorted(trail.sequences.items()))
        )
        puts = [(_height_key(b"u/", height), encode(verified.block)), (_TRAIL, encode(stored))]
        deletes: list[bytes] = []
        for index, (transaction, _) in enumerate(verified.transactions):
            puts.append((b"t/" + transaction.id, encode(Place(height, index))))
            deletes.append(b"p/" + transaction.id)
        certificate = verified.block.certificate
        if verified.header.next_validators_hash != verified.header.validators_hash and certificate is not None:
            change = ValidatorChange(verified.block.header, certificate, verified.block.next_validators)
            puts.append((_height_key(b"c/", height), encode(change)))
        self._kv.write(puts, deletes, sync=sync)
        self.trail = trail

    def block(self, height: int) -> UserBlock:
        """A verified block. Raises `StorageError` if it isn't there or is damaged."""
        raw = self._kv.get(_height_key(b"u/", height))
        if raw is None:
            raise StorageError(f"the user node has no block {height}, it ends at {self.trail.height}", code="missing")
        try:
            return decode(raw, UserBlock, max_bytes=MAX_RECORD_BYTES)
        except InvalidBlock as error:
            raise StorageError(f"block {height} of the user node is damaged ({error}): {_REPAIR}", code="corrupt") from None

    def place(self, tx_id: bytes) -> Place | None:
        """Where an own transaction stands."""
        raw = self._kv.get(b"t/" + tx_id)
        return None if raw is None else decode(raw, Place)

    def changes(self, below: int) -> tuple[ValidatorChange, ...]:
        """Changes of the validator set announced below a height."""
        pairs = self._kv.iterate(start=b"c/", stop=_height_key(b"c/", below))
        return tuple(decode(raw, ValidatorChange) for _, raw in pairs)

    def remember(self, tx_id: bytes, raw: bytes) -> None:
        """A submission that isn't settled."""
        self._kv.write([(b"p/" + tx_id, raw)])

    def pending(self) -> Iterator[tuple[bytes, bytes]]:
        """(id, raw) of submissions that aren't settled."""
        for key, raw in self._kv.iterate(start=b"p/", stop=b"p0"):
            yield key[2:], raw

    def is_pending(self, tx_id: bytes) -> bool:
        """Whether a submission waits."""
        return self._kv.get(b"p/" + tx_id) is not None

    def settle(self, tx_id: bytes, proof: bytes | None) -> None:
        """A submission is over: final with a verified proof file, or (None) expired."""
        puts = [] if proof is None else [(b"x/" + tx_id, proof)]
        self._kv.write(puts, [b"p/" + tx_id])

    def proof(self, tx_id: bytes) -> bytes | None:
        """The proof file of a transaction that was submitted here for another owner."""
        return self._kv.get(b"x/" + tx_id)
