"""Settings of the network: where to listen, whom to dial, and every limit that bounds what a peer can cost us."""

import msgspec

from carbonnode.errors import ConfigError

PROTOCOL_VERSION = 2
"""Version of the link protocol (streams, frames, handshake); both sides must speak the same."""

TRANSPORT_KEY_BYTES = 32


class PeerAddress(msgspec.Struct, frozen=True, kw_only=True):
    """A peer this node dials and keeps a link to.

    `transport_key` is the 32-byte Ed25519 public key of the peer's libp2p identity: a host that answers with another key is refused.
    """

    name: str
    host: str
    port: int
    transport_key: bytes


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Upper bounds; each one closes a way in which a peer could exhaust this node."""

    max_links: int = 128
    """Authenticated links at a time."""
    max_pending: int = 32
    """Inbound connections that haven't finished the handshake, at a time."""
    max_pending_per_host: int = 16
    """The same, from one IP address."""
    max_frame_bytes: int = 8 * 1024 * 1024
    """The largest frame of the consensus and bulk channels."""
    max_request_bytes: int = 1024 * 1024
    """The largest request payload."""
    max_response_bytes: int = 32 * 1024 * 1024
    """The largest response payload."""
    max_requests_in_flight: int = 16
    """Requests of one peer that we work on at a time; further ones are answered `busy`."""
    max_queue_bytes: int = 32 * 1024 * 1024
    """Frames waiting to be written to one peer on one channel; what exceeds it is dropped and counted."""
    max_unread_bytes: int = 8 * 1024 * 1024
    """Frames received from one peer that the daemon hasn't taken yet; reading pauses above it."""
    max_bulk_bytes_per_s: int = 16 * 1024 * 1024
    """Sustained rate that one peer may send on the bulk channel; reading slows down above it."""
    write_bytes: int = 60 * 1024
    """The most that is coalesced into one write: above 64 KB concurrent writers interleave in py-libp2p."""
    ban_score: int = 100
    """Score at which a peer is dropped and refused for `ban_ms`."""
    first_ban_ms: int = 2_000
    """A peer's first ban; each further one is twice as long, up to `ban_ms`."""
    ban_ms: int = 60_000


class NetworkConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How one node takes part in the network.

    `chain_id` is the 32-byte id of genesis. `port` 0 takes a free port (tests); an explicit port that is busy is a `ConfigError`.
    """

    node_name: str
    chain_id: bytes
    host: str = "127.0.0.1"
    port: int = 0
    peers: tuple[PeerAddress, ...] = ()
    limits: Limits = Limits()
    heartbeat_ms: int = 1_000
    """How often a PING leaves on every stream."""
    dead_after_ms: int = 6_000
    """A peer that sends nothing at all for this long is closed with reason `silent`; one of whose streams misses as many heartbeats, with `deaf`."""
    dial_timeout_ms: int = 4_000
    handshake_timeout_ms: int = 5_000
    redial_base_ms: int = 100
    """First back-off after a failed redial; it doubles with jitter up to `redial_max_ms`."""
    redial_max_ms: int = 5_000
    write_stall_ms: int = 20_000
    """A peer that takes no byte of a pending write for this long is closed with reason `stalled`."""

    def validate(self) -> None:
        """Raise `ConfigError` naming the key that is wrong."""
        if len(self.chain_id) != TRANSPORT_KEY_BYTES:
            raise ConfigError(f"network: chain_id has {len(self.chain_id)} bytes, not 32: take it from the genesis file")
        if not 0 <= self.port <= 65_535:
            raise ConfigError(f"network: port {self.port} is outside 0..65535: set network.port")
        for peer in self.peers:
            if len(peer.transport_key) != TRANSPORT_KEY_BYTES:
                raise ConfigError(f"network: transport_key of peer {peer.name!r} has {len(peer.transport_key)} bytes, not 32")
            if not 0 < peer.port <= 65_535:
                raise ConfigError(f"network: port {peer.port} of peer {peer.name!r} is outside 1..65535")
        for key in ("heartbeat_ms", "dead_after_ms", "dial_timeout_ms", "handshake_timeout_ms", "redial_base_ms", "redial_max_ms"):
            if getattr(self, key) <= 0:
                raise ConfigError(f"network: {key} is {getattr(self, key)}, it must be positive")
        if self.dead_after_ms <= self.heartbeat_ms:
            raise ConfigError("network: dead_after_ms must be larger than heartbeat_ms, or every idle link is closed")
