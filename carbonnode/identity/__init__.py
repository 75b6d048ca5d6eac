"""Who a node is: X.509 certificates bound to a transport key and a chain, their verification and revocation, and encrypted keys on disk."""

from carbonnode.identity.authority import CertificateAuthority, NodeRequest, create_authority
from carbonnode.identity.certificate import NodeIdentity
from carbonnode.identity.keystore import KeyInfo, KeyStore, Strength
from carbonnode.identity.nodekeys import NodeKeys, create_node_keys, load_node_keys
from carbonnode.identity.refusal import CertificateRefused, IdentityCode
from carbonnode.identity.revocation import RevocationList
from carbonnode.identity.trust import TrustStore, make_verifier, network_domain

__all__ = [
    "CertificateAuthority",
    "CertificateRefused",
    "IdentityCode",
    "KeyInfo",
    "KeyStore",
    "NodeIdentity",
    "NodeKeys",
    "NodeRequest",
    "RevocationList",
    "Strength",
    "TrustStore",
    "create_authority",
    "create_node_keys",
    "load_node_keys",
    "make_verifier",
    "network_domain",
]
