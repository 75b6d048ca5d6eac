"""The Merkle code under SHA-256 against the published RFC 6962 proofs, good and bad."""

import json
from base64 import b64decode
from hashlib import sha256
from pathlib import Path

from carbonnode.chain.merkle import verify_consistency, verify_inclusion


def _sha256(data: bytes) -> bytes:
    return sha256(data).digest()


def test_inclusion_vectors(shared_vectors: Path) -> None:
    """Every published inclusion proof gets the published verdict."""
    files = sorted((shared_vectors / "rfc6962" / "inclusion").rglob("*.json"))
    wrong = []
    for file in files:
        case = json.loads(file.read_text())
        path = [b64decode(item) for item in case["proof"] or []]
        root, leaf = b64decode(case["root"]), b64decode(case["leafHash"])
        if verify_inclusion(leaf, case["leafIdx"], case["treeSize"], path, root, _sha256) == case["wantErr"]:
            wrong.append(str(file))
    assert len(files) > 50
    assert wrong == []


def test_consistency_vectors(shared_vectors: Path) -> None:
    """Every published consistency proof gets the published verdict."""
    files = sorted((shared_vectors / "rfc6962" / "consistency").rglob("*.json"))
    wrong = []
    for file in files:
        case = json.loads(file.read_text())
        path = [b64decode(item) for item in case["proof"] or []]
        first, second = b64decode(case["root1"]), b64decode(case["root2"])
        if verify_consistency(case["size1"], case["size2"], first, second, path, _sha256) == case["wantErr"]:
            wrong.append(str(file))
    assert len(files) > 50
    assert wrong == []
