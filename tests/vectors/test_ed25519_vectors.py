"""PyNaCl's verdicts on vectors nobody here wrote: a change of library or version that changes one is a chain split (design, section 4)."""

import json
from pathlib import Path

from carbonnode.chain.signing import verify

SPECCHECK_ACCEPTED = [3]


def test_wycheproof_verdicts(shared_vectors: Path) -> None:
    """Every valid case verifies, every invalid one is refused; the file marks nothing as merely acceptable."""
    groups = json.loads((shared_vectors / "wycheproof_ed25519.json").read_text())["testGroups"]
    wrong = []
    count = 0
    for group in groups:
        key = bytes.fromhex(group["publicKey"]["pk"])
        for case in group["tests"]:
            count += 1
            verdict = verify(key, bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"]))
            if verdict != (case["result"] == "valid"):
                wrong.append((case["tcId"], case["comment"], case["result"], verdict))
    assert count == 151
    assert wrong == []


def test_speccheck_edge_cases_are_frozen(shared_vectors: Path) -> None:
    """Of the twelve cases on which libraries disagree, only the fourth verifies."""
    cases = json.loads((shared_vectors / "ed25519_speccheck.json").read_text())
    verdicts = [verify(bytes.fromhex(c["pub_key"]), bytes.fromhex(c["message"]), bytes.fromhex(c["signature"])) for c in cases]
    assert len(cases) == 12
    assert [index for index, verdict in enumerate(verdicts) if verdict] == SPECCHECK_ACCEPTED
