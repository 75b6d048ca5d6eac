"""The names under which a certificate is refused (8.10 c of the standard: validity period and permitted domain are verified)."""

from enum import StrEnum

from carbonnode.errors import PeerViolation


class IdentityCode(StrEnum):
    """Stable codes; they travel to the refused side."""

    MALFORMED = "malformed-certificate"
    UNTRUSTED_CA = "untrusted-ca"
    EXPIRED = "expired"
    NOT_YET_VALID = "not-yet-valid"
    WRONG_DOMAIN = "wrong-domain"
    WRONG_CHAIN = "wrong-chain"
    WRONG_ROLE = "wrong-role"
    WRONG_KEY = "wrong-key"
    WRONG_NAME = "wrong-name"
    REVOKED = "revoked"


class CertificateRefused(PeerViolation):
    """A certificate doesn't make its bearer a member of this network; `code` is an `IdentityCode`."""

    def __init__(self, code: IdentityCode, message: str) -> None:
        super().__init__(message, code=code.value)
