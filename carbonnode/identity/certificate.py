"""What a node certificate says, read from X.509.

| field | meaning |
|---|---|
| subject CN | the node's name, unique in the network |
| subject O | the entity id of the owner |
| subject OU | the role: super, coordination or user |
| subject key | the Ed25519 transport key |
| subject alternative name (DNS, one) | the domain that the node lives in |
| extension `CHAIN_ID_OID` | the id of the chain it is valid for, a DER octet string of 32 bytes |
"""

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from carbonnode.chain.hashing import HASH_BYTES
from carbonnode.identity.refusal import CertificateRefused, IdentityCode

CHAIN_ID_OID = x509.ObjectIdentifier("2.25.210837429134763285971204568716023594817")
"""Below the arc that is free for anyone with a UUID (ITU-T X.667)."""

_OCTET_STRING_32 = bytes((0x04, HASH_BYTES))
_BEGIN = b"-----BEGIN CERTIFICATE-----"
MAX_CHAIN = 5


class NodeIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """A node as its certificate describes it. Times in milliseconds since 1970."""

    name: str
    organisation: str
    role: str
    domain: str
    transport_key: bytes
    chain_id: bytes
    serial: int
    not_before_ms: int
    not_after_ms: int
    fingerprint: bytes
    """SHA-256 of the DER certificate."""
    expired: bool = False
    """Accepted although expired, because its bearer is a current validator: raise an alarm, renew it."""


def parse_chain(credential: bytes) -> list[x509.Certificate]:
    """Leaf first, then intermediates, from concatenated PEM blocks. Raises `CertificateRefused` (`malformed-certificate`)."""
    blocks = credential.count(_BEGIN)
    if not 1 <= blocks <= MAX_CHAIN:
        raise CertificateRefused(IdentityCode.MALFORMED, f"the credential holds {blocks} PEM certificates, 1 to {MAX_CHAIN} are admitted")
    try:
        return x509.load_pem_x509_certificates(credential)
    except ValueError as error:
        raise CertificateRefused(IdentityCode.MALFORMED, f"the credential isn't a chain of PEM certificates: {error}") from None


def read_identity(certificate: x509.Certificate) -> NodeIdentity:
    """The fields of a node certificate, nothing verified. Raises `CertificateRefused` (`malformed-certificate`)."""
    try:
        return NodeIdentity(
            name=_subject(certificate, NameOID.COMMON_NAME),
            organisation=_subject(certificate, NameOID.ORGANIZATION_NAME),
            role=_subject(certificate, NameOID.ORGANIZATIONAL_UNIT_NAME),
            domain=_domain(certificate),
            transport_key=_transport_key(certificate),
            chain_id=_chain_id(certificate),
            serial=certificate.serial_number,
            not_before_ms=int(certificate.not_valid_before_utc.timestamp()) * 1000,
            not_after_ms=int(certificate.not_valid_after_utc.timestamp()) * 1000,
            fingerprint=certificate.fingerprint(SHA256()),
        )
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension) as error:
        raise CertificateRefused(IdentityCode.MALFORMED, f"not a node certificate: {error}") from None


def chain_id_extension(chain_id: bytes) -> x509.UnrecognizedExtension:
    """The extension that binds a certificate to a chain."""
    if len(chain_id) != HASH_BYTES:
        raise ValueError(f"a chain id has {HASH_BYTES} bytes, this one {len(chain_id)}")
    return x509.UnrecognizedExtension(CHAIN_ID_OID, _OCTET_STRING_32 + chain_id)


def _subject(certificate: x509.Certificate, oid: x509.ObjectIdentifier) -> str:
    values = certificate.subject.get_attributes_for_oid(oid)
    if len(values) != 1 or not isinstance(values[0].value, str) or not values[0].value:
        raise ValueError(f"the subject needs exactly one {oid._name}")  # noqa: SLF001 - its only readable name
    return values[0].value


def _domain(certificate: x509.Certificate) -> str:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)
    if len(names) != 1:
        raise ValueError(f"the subject alternative name holds {len(names)} domain names, one is needed")
    return names[0].lower()


def _transport_key(certificate: x509.Certificate) -> bytes:
    key = certificate.public_key()
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError("the subject's key isn't an Ed25519 key")  # noqa: TRY004 - a wrong value of the certificate, not of our types
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def _chain_id(certificate: x509.Certificate) -> bytes:
    extension = certificate.extensions.get_extension_for_oid(CHAIN_ID_OID).value
    raw = extension.value if isinstance(extension, x509.UnrecognizedExtension) else b""
    if len(raw) != len(_OCTET_STRING_32) + HASH_BYTES or not raw.startswith(_OCTET_STRING_32):
        raise ValueError("the chain id extension isn't an octet string of 32 bytes")
    return raw[len(_OCTET_STRING_32) :]
