"""Transactions: a signed body of 1 to 64 atomic contract calls (design, section 6)."""

from collections.abc import Sequence

import msgspec

from carbonnode.chain import values
from carbonnode.chain.codec import Wire
from carbonnode.chain.hashing import blake2b_256
from carbonnode.chain.signing import PUBLIC_KEY_BYTES, SIGNATURE_BYTES, Signer, signing_bytes, verify
from carbonnode.errors import InvalidTransaction

TX_VERSION = 1
NONCE_BYTES = 16
MAX_CALLS = 64
MAX_TX_BYTES = 256 * 1024
_DOMAIN = "carbonnode/tx/1"
_encoder = msgspec.msgpack.Encoder()


class WireCall(Wire, frozen=True):
    """One call as it stands in a body: arguments in `chain.values` wire form."""

    contract: str
    method: str
    args: tuple[values.WireValue, ...]


class WireBody(Wire, frozen=True):
    """[version, chain id, sender key, secret nonce, valid-until height, gas limit, calls]."""

    version: int
    chain_id: bytes
    sender: bytes
    nonce: bytes
    valid_until: int
    gas_limit: int
    calls: tuple[WireCall, ...]


class WireTransaction(Wire, frozen=True):
    """[body bytes, signature]."""

    body: bytes
    signature: bytes


class Call(msgspec.Struct, frozen=True, gc=False):
    """One contract call: contract name, method, positional arguments."""

    contract: str
    method: str
    args: tuple[values.Value, ...] = ()


def calls_to_wire(calls: Sequence[Call]) -> tuple[WireCall, ...]:
    """Calls as they stand in a body."""
    return tuple([WireCall(c.contract, c.method, tuple([values.to_wire(a) for a in c.args])) for c in calls])


def calls_from_wire(calls: Sequence[WireCall]) -> tuple[Call, ...]:
    """Calls of a decoded body. Raises `InvalidTransaction` for an argument that is no contract value."""
    return tuple([Call(c.contract, c.method, tuple([values.from_wire(a) for a in c.args])) for c in calls])


def check_calls(calls: Sequence[Call]) -> None:
    """Whether calls could stand in one transaction. Raises `InvalidTransaction` (`calls`, `too-large`, `bad-value`)."""
    if not 1 <= len(calls) <= MAX_CALLS:
        raise InvalidTransaction(f"a transaction carries 1 to {MAX_CALLS} calls, this one {len(calls)}", code="calls")
    size = len(Body(bytes(32), bytes(PUBLIC_KEY_BYTES), bytes(NONCE_BYTES), 0, 1, tuple(calls)).encode())
    if size + SIGNATURE_BYTES > MAX_TX_BYTES:
        raise InvalidTransaction(f"a transaction has at most {MAX_TX_BYTES} bytes, these calls alone {size}", code="too-large")


class Body(msgspec.Struct, frozen=True, gc=False):
    """What the sender signs. `nonce` is 16 secret random bytes: it blinds leaves; `valid_until` a height; `gas_limit` in gas."""

    chain_id: bytes
    sender: bytes
    nonce: bytes
    valid_until: int
    gas_limit: int
    calls: tuple[Call, ...]
    version: int = TX_VERSION

    def encode(self) -> bytes:
        """Canonical bytes of the body."""
        wire = WireBody(self.version, self.chain_id, self.sender, self.nonce, self.valid_until, self.gas_limit, calls_to_wire(self.calls))
        try:
            return _encoder.encode(wire)
        except UnicodeEncodeError:
            raise InvalidTransaction("a text in a call holds a lone surrogate: it has no UTF-8 form", code="bad-value") from None


class Transaction:
    """A decoded transaction with its two identities.

    `id` = hash(body) names it for people and de-duplication; `wire_hash` = hash(body || signature) names these exact signed bytes: caches of
    verified signatures, batches and the transaction tree use it, so that a known body with a bad signature can't pass.
    """

    # Plain slots instead of cached properties, whose lock costs a microsecond an access on CPython 3.11.
    __slots__ = ("_body", "_id", "_wire_hash", "body_bytes", "raw", "signature")

    def __init__(self, raw: bytes, body_bytes: bytes, signature: bytes) -> None:
        self.raw = raw
        self.body_bytes = body_bytes
        self.signature = signature
        self._id: bytes | None = None
        self._wire_hash: bytes | None = None
        self._body: Body | None = None

    @classmethod
    def decode(cls, raw: bytes) -> "Transaction":
        """Decode and check form (canonical, sizes, call count); the signature and chain are the caller's to check.

        Raises `InvalidTransaction`.
        """
        if len(raw) > MAX_TX_BYTES:
            raise InvalidTransaction(f"a transaction of {len(raw)} bytes exceeds {MAX_TX_BYTES}: split its calls", code="too-large")
        try:
            wire = _tx_decoder.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InvalidTransaction(f"not a transaction: {error}", code="malformed") from None
        if len(wire.signature) != SIGNATURE_BYTES or _encoder.encode(wire) != raw:
            raise InvalidTransaction("a transaction isn't in canonical form", code="not-canonical")
        tx = cls(raw, wire.body, wire.signature)
        tx.body  # noqa: B018  decoding checks the form
        return tx

    @classmethod
    def sign(cls, body: Body, signer: Signer) -> "Transaction":
        """Sign a body. Raises `InvalidTransaction` if the body isn't well formed."""
        body_bytes = body.encode()
        signature = signer.sign(signing_bytes(_DOMAIN, body_bytes))
        return cls.decode(_encoder.encode(WireTransaction(body_bytes, signature)))

    @property
    def id(self) -> bytes:
        """hash(body), 32 bytes."""
        found = self._id
        if found is None:
            found = self._id = blake2b_256(self.body_bytes)
        return found

    @property
    def wire_hash(self) -> bytes:
        """hash(body || signature), 32 bytes."""
        found = self._wire_hash
        if found is None:
            found = self._wire_hash = blake2b_256(self.body_bytes + self.signature)
        return found

    @property
    def body(self) -> Body:
        """The decoded body. Raises `InvalidTransaction` if it is malformed."""
        found = self._body
        if found is None:
            found = self._body = _decode_body(self.body_bytes)
        return found

    def verify_signature(self) -> bool:
        """Whether the signature is the sender's over these body bytes."""
        return verify(self.body.sender, signing_bytes(_DOMAIN, self.body_bytes), self.signature)


_tx_decoder = msgspec.msgpack.Decoder(WireTransaction)
_body_decoder = msgspec.msgpack.Decoder(WireBody)


def _decode_body(data: bytes) -> Body:
    try:
        wire = _body_decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidTransaction(f"not a transaction body: {error}", code="malformed") from None
    if _encoder.encode(wire) != data:
        raise InvalidTransaction("a transaction body isn't in canonical form", code="not-canonical")
    if wire.version != TX_VERSION:
        raise InvalidTransaction(f"transaction version {wire.version} is unknown: this node speaks {TX_VERSION}", code="version")
    if len(wire.sender) != PUBLIC_KEY_BYTES or len(wire.nonce) != NONCE_BYTES:
        raise InvalidTransaction("a sender key has 32 bytes and a nonce 16", code="malformed")
    if not 1 <= len(wire.calls) <= MAX_CALLS:
        raise InvalidTransaction(f"a transaction carries 1 to {MAX_CALLS} calls, this one {len(wire.calls)}", code="calls")
    if wire.valid_until < 0 or wire.gas_limit < 1:
        raise InvalidTransaction("valid-until is a height and the gas limit at least 1", code="malformed")
    return Body(wire.chain_id, wire.sender, wire.nonce, wire.valid_until, wire.gas_limit, calls_from_wire(wire.calls))
