"""A cheap stand-in for Ed25519: keyed hashes that everybody in the simulator can check, and only the owner makes.

Byzantine replicas hold their own signer only, so they forge nothing but their own votes, as with the real thing.
"""

from hashlib import blake2b

from carbonnode.chain.signing import SIGNATURE_BYTES


class SimSigner:
    """Signs with a secret derived from a number."""

    def __init__(self, number: int, purpose: bytes = b"consensus") -> None:
        self._secret = blake2b(purpose + number.to_bytes(4, "big"), digest_size=32, person=b"sim secret").digest()
        self._public = blake2b(self._secret, digest_size=32, person=b"sim public").digest()

    @property
    def public_key(self) -> bytes:
        """32 bytes."""
        return self._public

    def sign(self, message: bytes) -> bytes:
        """64 bytes."""
        return blake2b(message, digest_size=SIGNATURE_BYTES, key=self._secret).digest()


class KeyRing:
    """Knows all signers, to verify."""

    def __init__(self) -> None:
        self._signers: dict[bytes, SimSigner] = {}

    def add(self, signer: SimSigner) -> None:
        """Make a signer's signatures verifiable."""
        self._signers[signer.public_key] = signer

    def verify(self, public_key: bytes, message: bytes, signature: bytes) -> bool:
        """As `chain.signing.verify`."""
        signer = self._signers.get(public_key)
        return signer is not None and signer.sign(message) == signature
