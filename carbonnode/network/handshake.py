"""The handshake of a link, without IO: who proves what, in which order, and under which name a side is refused.

The dialling side speaks first. Noise has proven the libp2p keys already; here each side shows the certificate for its key and signs the whole
conversation with it, so that neither message can be used in another one:

    dialler  -> HELLO (version, chain id, name, credential, nonce, instance)
    listener -> HELLO, PROOF          only after the dialler's version, chain and credential hold: a stranger learns nothing
    dialler  -> PROOF
    listener -> WELCOME

Any side may send REFUSED (code, message) instead, and closes.
"""

from collections.abc import Callable
from enum import Enum, auto
from typing import TypeVar

import msgspec

from carbonnode.chain.hashing import blake2b_256
from carbonnode.chain.signing import Signer, signing_bytes, verify
from carbonnode.errors import PeerViolation
from carbonnode.network.config import PROTOCOL_VERSION
from carbonnode.network.handler import VerifyPeer
from carbonnode.network.peer import PeerIdentity, Refusal, RefusalCode
from carbonnode.network.wire import Frame, FrameKind

MAX_CREDENTIAL_BYTES = 32 * 1024
MAX_HELLO_BYTES = 2 * MAX_CREDENTIAL_BYTES
NONCE_BYTES = 32
INSTANCE_BYTES = 16
MAX_REFUSAL_BYTES = 4096

T = TypeVar("T")

HANDSHAKE_CAPS: dict[int, int] = {
    FrameKind.HELLO: MAX_HELLO_BYTES,
    FrameKind.PROOF: 1024,
    FrameKind.WELCOME: 1024,
    FrameKind.REFUSED: MAX_REFUSAL_BYTES,
}
"""Frames admitted during the handshake."""


class Hello(msgspec.Struct, frozen=True):
    """The first frame of either side; bytes travel as base64 in JSON."""

    version: int
    chain_id: bytes
    name: str
    credential: bytes
    nonce: bytes
    instance: bytes
    """Random per process: tells a restarted peer from a second link of the same one."""


class Proof(msgspec.Struct, frozen=True):
    """A signature over the conversation by the transport key."""

    signature: bytes


class RefusedByPeer(Exception):
    """The other side refused us."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(f"{refusal.code}: {refusal.message}")
        self.refusal = refusal


class OwnSide(msgspec.Struct, frozen=True):
    """What this node says of itself in every handshake."""

    signer: Signer
    credential: bytes
    chain_id: bytes
    name: str
    instance: bytes


class _State(Enum):
    HELLO = auto()
    PROOF = auto()
    WELCOME = auto()
    DONE = auto()


class Handshake:
    """One side of one handshake: `begin`, then `receive` per frame until it returns True in `done`.

    `peer_key` is the key that noise authenticated. `expected_name` is set by a dialler that means a particular node.
    `receive` raises `PeerViolation` (tell the peer by `refusal_frame`) or `RefusedByPeer`.
    """

    def __init__(self, own: OwnSide, peer_key: bytes, verify_peer: VerifyPeer, nonce: bytes, *, outbound: bool, expected_name: str = "") -> None:
        self._own = own
        self._peer_key = peer_key
        self._verify_peer = verify_peer
        self._outbound = outbound
        self._expected_name = expected_name
        self._own_hello = msgspec.json.encode(
            Hello(PROTOCOL_VERSION, own.chain_id, own.name, own.credential, nonce, own.instance),
        )
        self._peer_hello = b""
        self._state = _State.HELLO
        self.identity: PeerIdentity | None = None
        self.credential = b""
        self.instance = b""
        self._table: dict[tuple[_State, int], Callable[[bytes], list[Frame]]] = {
            (_State.HELLO, FrameKind.HELLO): self._on_hello,
            (_State.PROOF, FrameKind.PROOF): self._on_proof,
            (_State.WELCOME, FrameKind.WELCOME): self._on_welcome,
        }

    @property
    def done(self) -> bool:
        """Whether the peer is proven; a listener still has to send WELCOME once it has room for the link."""
        return self._state is _State.DONE

    def begin(self) -> list[Frame]:
        """What to send before anything was received."""
        return [(FrameKind.HELLO, self._own_hello)] if self._outbound else []

    def receive(self, kind: int, payload: bytes) -> list[Frame]:
        """Take one frame; returns what to send."""
        if kind == FrameKind.REFUSED:
            raise RefusedByPeer(read_refusal(payload))
        step = self._table.get((self._state, kind))
        if step is None:
            raise PeerViolation(f"frame kind {kind} came in handshake state {self._state.name}", code=RefusalCode.BAD_HANDSHAKE)
        return step(payload)

    def _on_hello(self, payload: bytes) -> list[Frame]:
        hello = _read(payload, Hello)
        if hello.version != PROTOCOL_VERSION:
            text = f"link protocol {hello.version} is spoken there, {PROTOCOL_VERSION} here: install matching releases"
            raise PeerViolation(text, code=RefusalCode.WRONG_VERSION)
        if hello.chain_id != self._own.chain_id:
            text = f"chain {hello.chain_id.hex()[:16]} isn't this chain ({self._own.chain_id.hex()[:16]}): check the genesis file"
            raise PeerViolation(text, code=RefusalCode.WRONG_CHAIN)
        if len(hello.nonce) != NONCE_BYTES or len(hello.instance) != INSTANCE_BYTES:
            raise PeerViolation("nonce or instance has the wrong length", code=RefusalCode.BAD_HANDSHAKE)
        if not hello.credential:
            raise PeerViolation("no certificate was presented: only members of this network may connect", code=RefusalCode.NOT_A_MEMBER)
        if len(hello.credential) > MAX_CREDENTIAL_BYTES:
            raise PeerViolation(f"the credential has {len(hello.credential)} bytes", code=RefusalCode.BAD_HANDSHAKE)
        identity = self._verify_peer(hello.credential, self._peer_key)
        if self._expected_name and identity.name != self._expected_name:
            text = f"node {identity.name!r} answered where {self._expected_name!r} was expected: check the peer's address"
            raise PeerViolation(text, code=RefusalCode.WRONG_PEER)
        self._peer_hello = payload
        self.identity, self.credential, self.instance = identity, hello.credential, hello.instance
        self._state = _State.PROOF
        return [] if self._outbound else [(FrameKind.HELLO, self._own_hello), (FrameKind.PROOF, self._own_proof())]

    def _on_proof(self, payload: bytes) -> list[Frame]:
        proof = _read(payload, Proof)
        if not verify(self._peer_key, self._transcript(by_dialler=not self._outbound), proof.signature):
            raise PeerViolation("the signature over the handshake doesn't hold", code=RefusalCode.BAD_PROOF)
        if self._outbound:
            self._state = _State.WELCOME
            return [(FrameKind.PROOF, self._own_proof())]
        self._state = _State.DONE
        return []

    def _on_welcome(self, _payload: bytes) -> list[Frame]:
        self._state = _State.DONE
        return []

    def _own_proof(self) -> bytes:
        return msgspec.json.encode(Proof(self._own.signer.sign(self._transcript(by_dialler=self._outbound))))

    def _transcript(self, *, by_dialler: bool) -> bytes:
        own, peer = (blake2b_256(self._own_hello), self._own.signer.public_key), (blake2b_256(self._peer_hello), self._peer_key)
        dialler, listener = (own, peer) if self._outbound else (peer, own)
        return signing_bytes("carbonnode-link", int(by_dialler), self._own.chain_id, *dialler, *listener)


def refusal_frame(code: str, message: str) -> Frame:
    """What a refused side is told."""
    return FrameKind.REFUSED, msgspec.json.encode(Refusal(code, message[: MAX_REFUSAL_BYTES // 8]))


def read_refusal(payload: bytes) -> Refusal:
    """What a REFUSED frame says."""
    try:
        return msgspec.json.decode(payload, type=Refusal)
    except msgspec.DecodeError:
        return Refusal(RefusalCode.BAD_HANDSHAKE, "the peer refused in an unreadable way")


def _read(payload: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(payload, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise PeerViolation(f"not a readable {kind.__name__}: {error}", code=RefusalCode.BAD_HANDSHAKE) from None
