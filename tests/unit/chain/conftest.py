"""A small genesis with four validators, for the chain's tests."""

import pytest

from carbonnode.chain.genesis import Genesis
from carbonnode.chain.signing import KeySigner
from carbonnode.chain.transaction import Call
from carbonnode.chain.validators import Validator


@pytest.fixture(scope="session")
def signers() -> tuple[KeySigner, ...]:
    """Consensus keys of the four validators."""
    return tuple(KeySigner(bytes([index + 1]) * 32) for index in range(4))


@pytest.fixture(scope="session")
def genesis(signers: tuple[KeySigner, ...]) -> Genesis:
    """Four validators and one call."""
    roles = ("super", "super", "coordination", "coordination")
    validators = tuple(
        Validator(f"v{index}", roles[index], signer.public_key, KeySigner(bytes([index + 101]) * 32).public_key) for index, signer in enumerate(signers)
    )
    return Genesis(network="test", time_ms=1, validators=validators, ca_roots=(), contracts=(), calls=(Call("a", "b", (1, b"x", (1, 1 << 100))),))
