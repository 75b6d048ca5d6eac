"""The gate: every refusal by its name, and everything that must pass."""

from collections.abc import Callable

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from carbonnode.chain.signing import KeySigner
from carbonnode.chain.validators import Validator
from carbonnode.errors import ConfigError, PeerViolation
from carbonnode.identity import (
    CertificateAuthority,
    CertificateRefused,
    IdentityCode,
    NodeIdentity,
    NodeRequest,
    RevocationList,
    TrustStore,
    create_authority,
    make_verifier,
    network_domain,
)

DAY = 86_400_000
NOW = 1_800_000_000_000
CHAIN = bytes(range(32))
KEY = KeySigner(b"\x01" * 32).public_key
DOMAIN = "demo.carbonnode.internal"

REQUEST = NodeRequest(
    name="super-1",
    organisation="exchange",
    role="super",
    domain=f"super-1.{DOMAIN}",
    transport_key=KEY,
    chain_id=CHAIN,
    not_before_ms=NOW - DAY,
    not_after_ms=NOW + DAY,
)
MEMBER = Validator("super-1", "super", KeySigner(b"\x09" * 32).public_key, KEY)

Change = Callable[[NodeRequest], NodeRequest]


@pytest.fixture(scope="module")
def authority() -> CertificateAuthority:
    return create_authority("Demo CA", NOW - 10 * DAY, NOW + 10 * DAY)


@pytest.fixture
def store(authority: CertificateAuthority) -> TrustStore:
    return TrustStore([authority.certificate_pem], CHAIN, [DOMAIN])


def _refusal(store: TrustStore, credential: bytes, *, key: bytes = KEY, now_ms: int = NOW) -> str:
    with pytest.raises(CertificateRefused) as caught:
        store.verify(credential, key, now_ms)
    assert isinstance(caught.value, PeerViolation)
    return caught.value.code


def test_a_valid_certificate_names_its_bearer(authority: CertificateAuthority, store: TrustStore) -> None:
    identity = store.verify(authority.issue(REQUEST), KEY, NOW)
    assert (identity.name, identity.organisation, identity.role) == ("super-1", "exchange", "super")
    assert (identity.domain, identity.transport_key, identity.chain_id) == (f"super-1.{DOMAIN}", KEY, CHAIN)
    assert (identity.not_before_ms, identity.not_after_ms) == (NOW - DAY, NOW + DAY)
    assert not identity.expired


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"not_before_ms": NOW - 3 * DAY, "not_after_ms": NOW - DAY}, IdentityCode.EXPIRED),
        ({"not_before_ms": NOW + DAY, "not_after_ms": NOW + 2 * DAY}, IdentityCode.NOT_YET_VALID),
        ({"domain": "super-1.elsewhere.example"}, IdentityCode.WRONG_DOMAIN),
        ({"domain": f"evil{DOMAIN}"}, IdentityCode.WRONG_DOMAIN),
        ({"chain_id": bytes(32)}, IdentityCode.WRONG_CHAIN),
        ({"role": "admin"}, IdentityCode.WRONG_ROLE),
        ({"transport_key": KeySigner(b"\x02" * 32).public_key}, IdentityCode.WRONG_KEY),
    ],
)
def test_each_fault_is_refused_by_name(authority: CertificateAuthority, store: TrustStore, change: dict[str, object], code: str) -> None:
    assert _refusal(store, authority.issue(msgspec.structs.replace(REQUEST, **change))) == code


def test_another_authority_is_untrusted(store: TrustStore) -> None:
    impostor = create_authority("Demo CA", NOW - 10 * DAY, NOW + 10 * DAY)
    assert _refusal(store, impostor.issue(REQUEST)) == IdentityCode.UNTRUSTED_CA


def test_a_self_made_certificate_is_untrusted(store: TrustStore) -> None:
    own = create_authority("super-1", NOW - DAY, NOW + DAY)
    assert _refusal(store, own.issue(REQUEST) + own.certificate_pem) == IdentityCode.UNTRUSTED_CA


@pytest.mark.parametrize("credential", [b"", b"garbage", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", b"\x00" * 100])
def test_garbage_is_malformed(store: TrustStore, credential: bytes) -> None:
    assert _refusal(store, credential) == IdentityCode.MALFORMED


def test_an_authority_certificate_is_no_node_certificate(authority: CertificateAuthority, store: TrustStore) -> None:
    assert _refusal(store, authority.certificate_pem) == IdentityCode.MALFORMED


def test_too_long_a_chain_is_refused_unread(authority: CertificateAuthority, store: TrustStore) -> None:
    assert _refusal(store, authority.issue(REQUEST) + authority.certificate_pem * 5) == IdentityCode.MALFORMED


def test_revocation_by_list(authority: CertificateAuthority, store: TrustStore) -> None:
    credential, other = authority.issue(REQUEST), authority.issue(REQUEST)
    serial = store.verify(credential, KEY, NOW).serial
    store.set_revocations(RevocationList().with_crl(authority.revocation_list((serial,), NOW, NOW + DAY), store.roots))
    assert _refusal(store, credential) == IdentityCode.REVOKED
    assert store.verify(other, KEY, NOW).serial != serial


def test_revocation_by_governance(authority: CertificateAuthority, store: TrustStore) -> None:
    credential = authority.issue(REQUEST)
    fingerprint = store.verify(credential, KEY, NOW).fingerprint
    store.set_revocations(RevocationList().with_governance(fingerprints=[fingerprint]))
    assert _refusal(store, credential) == IdentityCode.REVOKED
    store.set_revocations(RevocationList().with_governance(transport_keys=[KEY]))
    assert _refusal(store, authority.issue(REQUEST)) == IdentityCode.REVOKED


def test_a_list_of_a_stranger_is_no_list(store: TrustStore) -> None:
    stranger = create_authority("Demo CA", NOW - DAY, NOW + DAY)
    with pytest.raises(ConfigError, match="isn't signed by a trusted"):
        RevocationList().with_crl(stranger.revocation_list((1,), NOW, NOW + DAY), store.roots)
    with pytest.raises(ConfigError, match=r"isn't a PEM X\.509 CRL"):
        RevocationList().with_crl(b"nonsense", store.roots)


def test_revocation_holds_for_a_current_validator(authority: CertificateAuthority, store: TrustStore) -> None:
    store.set_validators([MEMBER])
    store.set_revocations(RevocationList().with_governance(transport_keys=[KEY]))
    assert _refusal(store, authority.issue(REQUEST)) == IdentityCode.REVOKED


def test_expiry_of_a_current_validator_alarms_only(authority: CertificateAuthority, store: TrustStore) -> None:
    store.set_validators([MEMBER])
    alarms: list[NodeIdentity] = []
    verify = make_verifier(store, lambda: NOW + 2 * DAY, alarms.append)
    identity = verify(authority.issue(REQUEST), KEY)
    assert identity.expired
    assert alarms == [identity]
    store.set_validators([])
    with pytest.raises(CertificateRefused) as caught:
        verify(authority.issue(REQUEST), KEY)
    assert caught.value.code == IdentityCode.EXPIRED


def test_the_validator_set_binds_role_name_and_key(authority: CertificateAuthority, store: TrustStore) -> None:
    store.set_validators([MEMBER])
    assert store.verify(authority.issue(REQUEST), KEY, NOW).name == "super-1"
    assert _refusal(store, authority.issue(msgspec.structs.replace(REQUEST, role="coordination"))) == IdentityCode.WRONG_ROLE
    assert _refusal(store, authority.issue(msgspec.structs.replace(REQUEST, name="super-2"))) == IdentityCode.WRONG_NAME
    thief = KeySigner(b"\x07" * 32).public_key
    assert _refusal(store, authority.issue(msgspec.structs.replace(REQUEST, transport_key=thief)), key=thief) == IdentityCode.WRONG_KEY


def test_keys_of_the_sets_before_and_after_are_admitted_beside(authority: CertificateAuthority, store: TrustStore) -> None:
    rotated = KeySigner(b"\x08" * 32).public_key
    certificate = authority.issue(msgspec.structs.replace(REQUEST, transport_key=rotated))
    store.set_validators([MEMBER])
    assert _refusal(store, certificate, key=rotated) == IdentityCode.WRONG_KEY
    store.set_validators([MEMBER], also=[Validator(MEMBER.name, MEMBER.role, MEMBER.consensus_key, rotated)])
    assert store.verify(certificate, rotated, NOW).transport_key == rotated
    assert store.verify(authority.issue(REQUEST), KEY, NOW).name == "super-1"


def test_a_node_behind_the_chain_admits_keys_that_rotated_since(authority: CertificateAuthority, store: TrustStore) -> None:
    rotated = KeySigner(b"\x08" * 32).public_key
    certificate = authority.issue(msgspec.structs.replace(REQUEST, transport_key=rotated))
    store.set_validators([MEMBER], names_bind=False)
    assert store.verify(certificate, rotated, NOW).name == "super-1"


def test_an_intermediate_authority_is_followed(authority: CertificateAuthority, store: TrustStore) -> None:
    below = authority.issue_intermediate("Registration", Ed25519PrivateKey.generate(), NOW - DAY, NOW + DAY)
    leaf = below.issue(REQUEST)
    assert store.verify(leaf + below.certificate_pem, KEY, NOW).name == "super-1"
    assert _refusal(store, leaf) == IdentityCode.UNTRUSTED_CA
    serial = x509.load_pem_x509_certificate(below.certificate_pem).serial_number
    store.set_revocations(RevocationList().with_crl(authority.revocation_list((serial,), NOW, NOW + DAY), store.roots))
    assert _refusal(store, leaf + below.certificate_pem) == IdentityCode.REVOKED


def test_a_path_longer_than_the_authority_allows_is_refused(authority: CertificateAuthority, store: TrustStore) -> None:
    below = authority.issue_intermediate("One", Ed25519PrivateKey.generate(), NOW - DAY, NOW + DAY)
    lower = below.issue_intermediate("Two", Ed25519PrivateKey.generate(), NOW - DAY, NOW + DAY)
    assert _refusal(store, lower.issue(REQUEST) + lower.certificate_pem + below.certificate_pem) == IdentityCode.UNTRUSTED_CA


def test_an_expired_intermediate_fails_the_leaf(authority: CertificateAuthority, store: TrustStore) -> None:
    below = authority.issue_intermediate("Old", Ed25519PrivateKey.generate(), NOW - 2 * DAY, NOW - DAY)
    assert _refusal(store, below.issue(REQUEST) + below.certificate_pem) == IdentityCode.EXPIRED


def test_a_node_certificate_can_not_issue(authority: CertificateAuthority, store: TrustStore) -> None:
    node_key = Ed25519PrivateKey.generate()
    request = msgspec.structs.replace(REQUEST, transport_key=node_key.public_key().public_bytes_raw())
    node = CertificateAuthority(x509.load_pem_x509_certificate(authority.issue(request)), node_key)
    assert _refusal(store, node.issue(REQUEST) + node.certificate_pem) == IdentityCode.UNTRUSTED_CA


def test_roots_can_be_added_and_domains_must_exist(authority: CertificateAuthority) -> None:
    second = create_authority("Second CA", NOW - DAY, NOW + DAY)
    store = TrustStore([authority.certificate_pem.decode()], CHAIN, [DOMAIN])
    assert _refusal(store, second.issue(REQUEST)) == IdentityCode.UNTRUSTED_CA
    store.set_roots([authority.certificate_pem, second.certificate_pem])
    assert store.verify(second.issue(REQUEST), KEY, NOW).name == "super-1"
    with pytest.raises(ConfigError, match="names no certificate authority"):
        TrustStore([], CHAIN, [DOMAIN])
    with pytest.raises(ConfigError, match="isn't a PEM certificate"):
        TrustStore([b"x"], CHAIN, [DOMAIN])
    with pytest.raises(ConfigError, match="no permitted domain"):
        TrustStore([authority.certificate_pem], CHAIN, [])


def test_the_domain_of_a_network() -> None:
    assert network_domain("Demo") == DOMAIN
    assert network_domain("market.example.org") == "market.example.org"
