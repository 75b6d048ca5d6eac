"""A certificate authority: for throw-away networks, and for operators who run their own."""

from datetime import UTC, datetime
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from carbonnode.errors import ConfigError, KeystoreError
from carbonnode.identity.certificate import chain_id_extension
from carbonnode.identity.files import read_private_file, write_new_file

CERTIFICATE_FILE = "ca.pem"
KEY_FILE = "ca.key"
DAY_MS = 86_400_000
_PATH_LENGTH = 2


class NodeRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a certificate is asked for. `transport_key` is the node's 32-byte Ed25519 key, times are ms since 1970."""

    name: str
    organisation: str
    role: str
    domain: str
    transport_key: bytes
    chain_id: bytes
    not_before_ms: int
    not_after_ms: int


class CertificateAuthority:
    """An authority with its private key in memory."""

    def __init__(self, certificate: x509.Certificate, key: Ed25519PrivateKey) -> None:
        if certificate.public_key() != key.public_key():
            raise KeystoreError("the authority's key doesn't belong to its certificate: use the pair that was created together")
        self._certificate = certificate
        self._key = key

    @property
    def certificate_pem(self) -> bytes:
        """What goes into genesis."""
        return self._certificate.public_bytes(Encoding.PEM)

    def issue(self, request: NodeRequest) -> bytes:
        """A node certificate (PEM)."""
        subject = x509.Name(
            [
                x509.NameAttribute(NameOID.COMMON_NAME, request.name),
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, request.organisation),
                x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, request.role),
            ]
        )
        key = Ed25519PublicKey.from_public_bytes(request.transport_key)
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = (
            _builder(subject, self._certificate.subject, key, request.not_before_ms, request.not_after_ms)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(request.domain)]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .add_extension(chain_id_extension(request.chain_id), critical=False)
        )
        return builder.sign(self._key, None).public_bytes(Encoding.PEM)

    def issue_intermediate(self, name: str, key: Ed25519PrivateKey, not_before_ms: int, not_after_ms: int) -> "CertificateAuthority":
        """An authority below this one; nodes present its certificate behind their own."""
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = (
            _builder(subject, self._certificate.subject, key.public_key(), not_before_ms, not_after_ms)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(authority=True), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        return CertificateAuthority(builder.sign(self._key, None), key)

    def revocation_list(self, serials: tuple[int, ...], at_ms: int, next_update_ms: int) -> bytes:
        """A signed X.509 revocation list (PEM) of all certificates of this authority that are revoked."""
        builder = x509.CertificateRevocationListBuilder().issuer_name(self._certificate.subject)
        builder = builder.last_update(_time(at_ms)).next_update(_time(next_update_ms))
        for serial in serials:
            builder = builder.add_revoked_certificate(x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(_time(at_ms)).build())
        return builder.sign(self._key, None).public_bytes(Encoding.PEM)

    def save(self, directory: Path, passphrase: str | None = None) -> None:
        """Write `ca.pem` and `ca.key` (0600; encrypted if a passphrase is given). Raises `KeystoreError` if they exist."""
        protection = NoEncryption() if passphrase is None else BestAvailableEncryption(passphrase.encode())
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_new_file(directory / KEY_FILE, self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection))
        write_new_file(directory / CERTIFICATE_FILE, self.certificate_pem)

    @classmethod
    def load(cls, directory: Path, passphrase: str | None = None) -> "CertificateAuthority":
        """Read what `save` wrote. Raises `KeystoreError`."""
        certificate = x509.load_pem_x509_certificate(read_private_file(directory / CERTIFICATE_FILE, private=False))
        try:
            key = load_pem_private_key(read_private_file(directory / KEY_FILE), None if passphrase is None else passphrase.encode())
        except (ValueError, TypeError) as error:
            raise KeystoreError(f"{directory / KEY_FILE} can't be opened: {error}: give the passphrase it was saved with") from None
        if not isinstance(key, Ed25519PrivateKey):
            raise KeystoreError(f"{directory / KEY_FILE} isn't an Ed25519 key: this authority was made by other software")
        return cls(certificate, key)


def create_authority(name: str, not_before_ms: int, not_after_ms: int) -> CertificateAuthority:
    """A new self-signed authority with a fresh key."""
    key = Ed25519PrivateKey.generate()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        _builder(subject, subject, key.public_key(), not_before_ms, not_after_ms)
        .add_extension(x509.BasicConstraints(ca=True, path_length=_PATH_LENGTH), critical=True)
        .add_extension(_key_usage(authority=True), critical=True)
    )
    return CertificateAuthority(builder.sign(key, None), key)


def _builder(subject: x509.Name, issuer: x509.Name, key: Ed25519PublicKey, not_before_ms: int, not_after_ms: int) -> x509.CertificateBuilder:
    if not_after_ms <= not_before_ms:
        raise ConfigError("a certificate must end after it begins: check the validity")
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_time(not_before_ms))
        .not_valid_after(_time(not_after_ms))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _time(ms: int) -> datetime:
    return datetime.fromtimestamp(ms // 1000, UTC)
