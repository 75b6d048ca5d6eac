"""The laboratory of `lab.py` as a fixture."""

import pytest

from tests.unit.consensus.lab import Lab


@pytest.fixture
def lab() -> Lab:
    """Four signers, a window of eight heights."""
    return Lab()
