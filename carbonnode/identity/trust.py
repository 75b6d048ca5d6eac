"""Verification of a presented certificate chain: the gate of the network (8.10 of the standard)."""

from collections.abc import Callable, Iterable

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.hashes import SHA256

from carbonnode.chain.validators import ROLES, Validator
from carbonnode.errors import ConfigError
from carbonnode.identity.certificate import MAX_CHAIN, NodeIdentity, parse_chain, read_identity
from carbonnode.identity.refusal import CertificateRefused, IdentityCode
from carbonnode.identity.revocation import RevocationList


class TrustStore:
    """What this network trusts. Setters replace whole values, so that another thread sees the old or the new one.

    `roots` are the PEM certificates of the authorities in genesis (or added by governance), `permitted_domains` the domains under which a
    node's name must lie (equal or below one of them).
    """

    def __init__(self, roots: Iterable[bytes | str], chain_id: bytes, permitted_domains: Iterable[str]) -> None:
        self._roots = _load_roots(roots)
        self._chain_id = chain_id
        self._domains = tuple(domain.lower().strip(".") for domain in permitted_domains)
        if not self._domains or not all(self._domains):
            raise ConfigError("no permitted domain is configured: name the domain that node certificates must lie in")
        self._revocations = RevocationList()
        self._by_key: dict[bytes, Validator] = {}
        self._by_name: dict[str, Validator] = {}

    @property
    def roots(self) -> tuple[x509.Certificate, ...]:
        """The trusted authorities."""
        return self._roots

    @property
    def revocations(self) -> RevocationList:
        """What is revoked now."""
        return self._revocations

    def set_roots(self, roots: Iterable[bytes | str]) -> None:
        """Trust these authorities from now on."""
        self._roots = _load_roots(roots)

    def set_revocations(self, revocations: RevocationList) -> None:
        """Refuse these from now on; have the network `recheck` its links afterwards."""
        self._revocations = revocations

    def set_validators(self, validators: Iterable[Validator], *, also: Iterable[Validator] = (), names_bind: bool = True) -> None:
        """The current validator set: its members' names, roles and transport keys bind, and their expiry only alarms.

        `also` are members of the sets before and after, whose keys are admitted beside. Without `names_bind` a member's name may come with a key that
        this node doesn't know yet: it is behind the chain, and the others may have rotated theirs.
        """
        members = tuple(validators)
        self._by_key = {member.transport_key: member for member in (*also, *members)}
        self._by_name = {member.name: member for member in members} if names_bind else {}

    def verify(self, credential: bytes, transport_key: bytes, now_ms: int) -> NodeIdentity:
        """Whom `credential` proves behind `transport_key` at `now_ms`. Raises `CertificateRefused`."""
        chain = parse_chain(credential)
        identity = read_identity(chain[0])
        path = self._path_to_root(chain)
        member = self._by_key.get(transport_key)
        self._check_binding(identity, transport_key)
        for certificate in path:
            if self._revocations.is_revoked(certificate):
                raise CertificateRefused(IdentityCode.REVOKED, f"{_label(certificate)} is revoked: ask the authority for a new certificate")
        expired = self._check_validity(path, now_ms, tolerate_expiry=member is not None)
        self._check_membership(identity, member)
        return msgspec.structs.replace(identity, expired=expired)

    def _check_binding(self, identity: NodeIdentity, transport_key: bytes) -> None:
        if identity.chain_id != self._chain_id:
            text = f"the certificate of {identity.name} is for chain {identity.chain_id.hex()[:16]}, this is {self._chain_id.hex()[:16]}"
            raise CertificateRefused(IdentityCode.WRONG_CHAIN, f"{text}: have one issued for this network")
        if identity.transport_key != transport_key:
            text = f"the certificate of {identity.name} is for another transport key than the link's: present the one issued for this node"
            raise CertificateRefused(IdentityCode.WRONG_KEY, text)
        if not any(identity.domain == domain or identity.domain.endswith("." + domain) for domain in self._domains):
            text = f"{identity.name} has the domain {identity.domain}, permitted is what lies in {', '.join(self._domains)}"
            raise CertificateRefused(IdentityCode.WRONG_DOMAIN, text)

    def _check_membership(self, identity: NodeIdentity, member: Validator | None) -> None:
        if identity.role not in ROLES:
            text = f"{identity.name} claims the role {identity.role!r}, known are {', '.join(ROLES)}"
            raise CertificateRefused(IdentityCode.WRONG_ROLE, text)
        if member is None:
            if identity.name in self._by_name:
                text = f"{identity.name} is a validator with another transport key: rotate keys by governance, or use another name"
                raise CertificateRefused(IdentityCode.WRONG_KEY, text)
            return
        if member.name != identity.name:
            text = f"the certificate names {identity.name}, the validator set names the bearer of this key {member.name}"
            raise CertificateRefused(IdentityCode.WRONG_NAME, text)
        if member.role != identity.role:
            text = f"{identity.name} is {member.role} in the validator set, its certificate says {identity.role}"
            raise CertificateRefused(IdentityCode.WRONG_ROLE, text)

    def _path_to_root(self, chain: list[x509.Certificate]) -> list[x509.Certificate]:
        """Leaf, intermediates in order of issue, root."""
        roots = {root.fingerprint(SHA256()): root for root in self._roots}
        path = [chain[0]]
        candidates = [c for c in chain[1:] if c.fingerprint(SHA256()) not in roots]
        for _ in range(MAX_CHAIN):
            for root in roots.values():
                if _issued(path[-1], root, below=len(path) - 1):
                    return [*path, root]
            following = next((c for c in candidates if c not in path and _issued(path[-1], c, below=len(path) - 1)), None)
            if following is None:
                break
            path.append(following)
        text = f"{_label(chain[0])} wasn't issued by an authority of this network (issuer: {chain[0].issuer.rfc4514_string()}): it isn't a member"
        raise CertificateRefused(IdentityCode.UNTRUSTED_CA, text)

    def _check_validity(self, path: list[x509.Certificate], now_ms: int, *, tolerate_expiry: bool) -> bool:
        expired = False
        for certificate in path:
            if now_ms < certificate.not_valid_before_utc.timestamp() * 1000:
                text = f"{_label(certificate)} is valid from {certificate.not_valid_before_utc:%Y-%m-%d %H:%M:%S} UTC: check both clocks"
                raise CertificateRefused(IdentityCode.NOT_YET_VALID, text)
            if now_ms > certificate.not_valid_after_utc.timestamp() * 1000:
                expired = True
                if not tolerate_expiry:
                    text = f"{_label(certificate)} expired at {certificate.not_valid_after_utc:%Y-%m-%d %H:%M:%S} UTC: renew it"
                    raise CertificateRefused(IdentityCode.EXPIRED, text)
        return expired


def network_domain(network: str) -> str:
    """The domain that the node certificates of a network lie in by default: its name if that is a domain, else one made of it."""
    return network.lower() if "." in network else f"{network.lower()}.carbonnode.internal"


def make_verifier(
    store: TrustStore, now_ms: Callable[[], int], on_expired: Callable[[NodeIdentity], None] | None = None
) -> Callable[[bytes, bytes], NodeIdentity]:
    """The callback that the network asks. `on_expired` is the alarm for a current validator whose certificate has run out."""

    def verify(credential: bytes, transport_key: bytes) -> NodeIdentity:
        identity = store.verify(credential, transport_key, now_ms())
        if identity.expired and on_expired is not None:
            on_expired(identity)
        return identity

    return verify


def _issued(certificate: x509.Certificate, authority: x509.Certificate, *, below: int) -> bool:
    """Whether `authority` may issue and did; `below` authorities stand between it and the leaf."""
    try:
        constraints = authority.extensions.get_extension_for_class(x509.BasicConstraints).value
        usage = authority.extensions.get_extension_for_class(x509.KeyUsage).value
        certificate.verify_directly_issued_by(authority)
    except (x509.ExtensionNotFound, x509.DuplicateExtension, InvalidSignature, ValueError, TypeError):
        return False
    depth_allowed = constraints.path_length is None or below <= constraints.path_length
    return constraints.ca and usage.key_cert_sign and depth_allowed


def _label(certificate: x509.Certificate) -> str:
    return f"certificate {certificate.subject.rfc4514_string()} (serial {certificate.serial_number:x})"


def _load_roots(roots: Iterable[bytes | str]) -> tuple[x509.Certificate, ...]:
    try:
        loaded = tuple(certificate for pem in roots for certificate in x509.load_pem_x509_certificates(pem.encode() if isinstance(pem, str) else pem))
    except ValueError as error:
        raise ConfigError(f"an authority in genesis isn't a PEM certificate: {error}") from None
    if not loaded:
        raise ConfigError("genesis names no certificate authority: nobody could ever join")
    return loaded
