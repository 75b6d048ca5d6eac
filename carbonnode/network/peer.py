"""What the network knows of a peer, and the names under which it refuses or closes one."""

from enum import IntEnum, StrEnum
from typing import Protocol

import msgspec

_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_ED25519_IDENTITY_MULTIHASH = bytes.fromhex("002408011220")


class PeerIdentity(Protocol):
    """Whom the verifier found behind a link; `carbonnode.identity.NodeIdentity` is one."""

    @property
    def name(self) -> str:
        """The node's name: common name of its certificate, unique in the network."""
        ...

    @property
    def organisation(self) -> str:
        """The entity id that owns the node."""
        ...

    @property
    def role(self) -> str:
        """`super`, `coordination` or `user`."""
        ...

    @property
    def transport_key(self) -> bytes:
        """The 32-byte Ed25519 key of the link."""
        ...


class Channel(IntEnum):
    """A stream of its own per channel, so that bulk traffic never holds up a vote."""

    CONSENSUS = 0
    BULK = 1


class CloseReason(StrEnum):
    """Why a link ended."""

    CLOSED = "closed"
    """The peer or its kernel closed the connection: it stopped, or it was killed."""
    SILENT = "silent"
    """Nothing came for `dead_after_ms`."""
    DEAF = "deaf"
    """One of its streams brought nothing, though the heartbeats went on on another."""
    STALLED = "stalled"
    """The peer took no byte of a write for `write_stall_ms`."""
    VIOLATION = "violation"
    """The peer broke the protocol."""
    REFUSED = "refused"
    """The peer refused the link after all, as a dialling side may: it keeps another one, or is stopping."""
    REPLACED = "replaced"
    """A newer link to the same peer took over; no outage."""
    RESTARTED = "restarted"
    """The peer came back as another process before the end of the old one was noticed."""
    REVOKED = "revoked"
    """Verification that held at the handshake no longer holds."""
    BLOCKED = "blocked"
    """The operator blocked the peer."""
    STOPPED = "stopped"
    """This node stops."""


class RefusalCode(StrEnum):
    """Names that the network itself refuses under; the verifier's own codes (`expired`, `revoked`, ...) join them."""

    NOT_A_MEMBER = "not-a-member"
    WRONG_CHAIN = "wrong-chain"
    WRONG_VERSION = "wrong-version"
    BAD_HANDSHAKE = "bad-handshake"
    BAD_PROOF = "bad-proof"
    WRONG_PEER = "wrong-peer"
    BANNED = "banned"
    BLOCKED = "blocked"
    TOO_MANY_LINKS = "too-many-links"
    DUPLICATE = "duplicate"
    SELF = "self"
    STOPPING = "stopping"


class Refusal(msgspec.Struct, frozen=True):
    """What a refused side is told, as JSON in a frame of its own, before the connection closes."""

    code: str
    message: str


class PeerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One row of `Network.peers()`. Times in milliseconds; `rtt_ms` is -1 until the first heartbeat is answered."""

    name: str
    transport_key: bytes
    address: str
    organisation: str = ""
    role: str = ""
    connected: bool = False
    outbound: bool = False
    rtt_ms: float = -1.0
    connected_ms: int = 0
    frames_in: int = 0
    frames_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    queued_bytes: int = 0
    score: int = 0
    blocked: bool = False
    last_error: str = ""


def peer_id_text(transport_key: bytes) -> str:
    """The libp2p peer id (base58, `12D3Koo...`) of a 32-byte Ed25519 public key."""
    raw = _ED25519_IDENTITY_MULTIHASH + transport_key
    number = int.from_bytes(raw, "big")
    digits: list[str] = []
    while number:
        number, rest = divmod(number, 58)
        digits.append(_BASE58[rest])
    zeros = len(raw) - len(raw.lstrip(b"\0"))
    return "1" * zeros + "".join(reversed(digits))


def transport_key_of(raw_peer_id: bytes) -> bytes | None:
    """The Ed25519 key inside a binary peer id; None if the peer uses another kind of key."""
    if len(raw_peer_id) == len(_ED25519_IDENTITY_MULTIHASH) + 32 and raw_peer_id.startswith(_ED25519_IDENTITY_MULTIHASH):
        return raw_peer_id[len(_ED25519_IDENTITY_MULTIHASH) :]
    return None
