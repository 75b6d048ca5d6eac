"""Where the published vectors lie: beside the checkout, or where CARBONNODE_SHARED says."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_vectors() -> Path:
    """The folder of published vectors; they are not part of the project, so a machine without them skips."""
    root = Path(os.environ.get("CARBONNODE_SHARED", Path(__file__).resolve().parents[3] / "shared"))
    if not (root / "vectors").is_dir():
        pytest.skip(f"no published vectors at {root / 'vectors'}: set CARBONNODE_SHARED to the folder that holds them")
    return root / "vectors"
