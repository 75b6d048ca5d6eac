"""docs/spec/consensus.md names a test and a planted fault for each line of the review list: they must exist."""

import re
from pathlib import Path

from tests.simulation.mutants import patches

ROOT = Path(__file__).resolve().parents[2]
SPEC = (ROOT / "docs" / "spec" / "consensus.md").read_text("utf-8")
ROWS = {int(row[1]): row[0] for row in re.finditer(r"^\| (\d+) \|.*$", SPEC, re.MULTILINE)}


def test_every_line_of_the_review_list_has_a_row_with_a_test() -> None:
    assert sorted(ROWS) == list(range(1, 48))
    assert [number for number, row in ROWS.items() if "::test_" not in row] == []


def test_every_named_test_exists() -> None:
    named = set(re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", SPEC))
    assert len(named) > 60
    missing = [f"{path}::{name}" for path, name in sorted(named) if not re.search(rf"^(async )?def {name}\(", (ROOT / path).read_text("utf-8"), re.MULTILINE)]
    assert missing == []


def test_every_planted_fault_stands_in_its_row() -> None:
    for patch in patches():
        assert f"`{patch.stem}`" in ROWS[int(patch.name[:2])]
    assert set(re.findall(r"`(\d\d_\w+)`", SPEC)) == {patch.stem for patch in patches()}
