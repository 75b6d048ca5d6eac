"""Authenticated links to the other nodes; the only package that knows libp2p and trio.

`Network` is the asyncio side that the daemon holds; libp2p runs under trio in a thread of its own (`hostthread`), is imported there only, and
exchanges frames in batches with the loop (`shared`). Every link starts with a handshake (`handshake`) whose verdict comes from a callback.
"""

from carbonnode.network.config import PROTOCOL_VERSION, Limits, NetworkConfig, PeerAddress
from carbonnode.network.handler import NetworkHandler, RequestHandler, VerifyPeer
from carbonnode.network.metrics import NetworkCounters
from carbonnode.network.peer import Channel, CloseReason, PeerIdentity, PeerStatus, Refusal, RefusalCode, peer_id_text
from carbonnode.network.service import Network

__all__ = [
    "PROTOCOL_VERSION",
    "Channel",
    "CloseReason",
    "Limits",
    "Network",
    "NetworkConfig",
    "NetworkCounters",
    "NetworkHandler",
    "PeerAddress",
    "PeerIdentity",
    "PeerStatus",
    "Refusal",
    "RefusalCode",
    "RequestHandler",
    "VerifyPeer",
    "peer_id_text",
]
