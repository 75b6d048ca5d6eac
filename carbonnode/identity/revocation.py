"""Revoked certificates: from X.509 revocation lists of the trusted authorities, and from decisions of governance."""

from collections.abc import Iterable

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from carbonnode.errors import ConfigError
from carbonnode.identity.certificate import read_identity
from carbonnode.identity.refusal import CertificateRefused


class RevocationList:
    """Immutable; `with_...` return a larger one.

    A list read from a file names certificates by (issuer, serial); a decision of governance names them by fingerprint, or names a node's
    transport key, which revokes every certificate for it.
    """

    def __init__(
        self,
        serials: Iterable[tuple[bytes, int]] = (),
        fingerprints: Iterable[bytes] = (),
        transport_keys: Iterable[bytes] = (),
    ) -> None:
        self._serials = frozenset(serials)
        self._fingerprints = frozenset(fingerprints)
        self._transport_keys = frozenset(transport_keys)

    @property
    def serials(self) -> set[int]:
        """Serial numbers from revocation lists."""
        return {serial for _, serial in self._serials}

    def __len__(self) -> int:
        return len(self._serials) + len(self._fingerprints) + len(self._transport_keys)

    def is_revoked(self, certificate: x509.Certificate) -> bool:
        """Whether the certificate itself is revoked; its issuers are asked for one by one."""
        if (certificate.issuer.public_bytes(), certificate.serial_number) in self._serials:
            return True
        if certificate.fingerprint(SHA256()) in self._fingerprints:
            return True
        if not self._transport_keys:
            return False
        try:
            return read_identity(certificate).transport_key in self._transport_keys
        except CertificateRefused:
            return False  # an authority's certificate has no transport key

    def with_governance(self, fingerprints: Iterable[bytes] = (), transport_keys: Iterable[bytes] = ()) -> "RevocationList":
        """Add what governance decided."""
        return RevocationList(self._serials, self._fingerprints | set(fingerprints), self._transport_keys | set(transport_keys))

    def with_crl(self, crl_pem: bytes, authorities: Iterable[x509.Certificate]) -> "RevocationList":
        """Add an X.509 revocation list signed by one of `authorities`. Raises `ConfigError` if it isn't."""
        try:
            crl = x509.load_pem_x509_crl(crl_pem)
        except ValueError as error:
            raise ConfigError(f"the revocation list isn't a PEM X.509 CRL: {error}: fetch it again from the certificate authority") from None
        if not any(_signed_by(crl, authority) for authority in authorities):
            raise ConfigError("the revocation list isn't signed by a trusted certificate authority: fetch it again from the authority of genesis")
        issuer = crl.issuer.public_bytes()
        return RevocationList(self._serials | {(issuer, entry.serial_number) for entry in crl}, self._fingerprints, self._transport_keys)


def revoked_serials(crl_pem: bytes, authority_pem: bytes) -> set[int]:
    """What an authority has revoked so far, from its own list. Raises `ConfigError` if it isn't its list."""
    return RevocationList().with_crl(crl_pem, [x509.load_pem_x509_certificate(authority_pem)]).serials


def _signed_by(crl: x509.CertificateRevocationList, authority: x509.Certificate) -> bool:
    if crl.issuer != authority.subject:
        return False
    try:
        return crl.is_signature_valid(authority.public_key())  # type: ignore[arg-type]
    except TypeError:
        return False  # a kind of key that can't sign lists
