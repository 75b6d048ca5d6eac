"""The simulator's checkers bite: faults planted by tests/simulation/mutations, one for each line of PBFT.md that the state machine holds.

All of them are hunted by `make mutations`; here those that take few seeds, and that every patch still fits.
"""

import json
from pathlib import Path

import pytest

from tests.simulation.mutants import FOLDER, SEEDS, apply, hunt, line_of, patches, plant

HELD_ELSEWHERE = {
    5: "the codec, before the replica: tests/unit/consensus/test_messages.py",
    17: "admission and the resolver share one verifier: the node's",
    24: "block store and executor: storage and node",
    38: "the simulator has no bar for throughput: tests/unit/consensus/test_liveness.py",
}
"""Lines of PBFT.md that no mutation of the state machine can break within sight of the simulator, and who holds them."""

FOUND: dict[str, int] = json.loads((FOLDER / "found.json").read_text("utf-8"))
"""The seed at which `make mutations` found each fault."""

QUICK = [patch for patch in patches() if FOUND.get(patch.stem, SEEDS) < 10]


def test_every_line_has_a_planted_fault_or_another_keeper() -> None:
    assert {line_of(patch) for patch in patches()} | set(HELD_ELSEWHERE) == set(range(1, 48))
    assert set(FOUND) == {patch.stem for patch in patches()}


@pytest.mark.parametrize("patch", patches(), ids=lambda patch: patch.stem)
def test_the_patch_fits(patch: Path, tmp_path: Path) -> None:
    path = patch.read_text("utf-8").splitlines()[0].removeprefix("--- a/")
    root = plant(patch, tmp_path)
    changed = (root / path).read_text("utf-8")
    assert changed != Path(path).read_text("utf-8")
    compile(changed, path, "exec")


def test_a_patch_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file.py").write_text("one\ntwo\n", "utf-8")
    with pytest.raises(ValueError, match="renew the patch"):
        apply("--- a/file.py\n+++ b/file.py\n@@ -1,2 +1,2 @@\n one\n-three\n+four\n", tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("patch", QUICK, ids=lambda patch: patch.stem)
def test_the_fault_is_found(patch: Path, tmp_path: Path) -> None:
    seed = FOUND[patch.stem]
    verdict = hunt(patch, tmp_path, range(seed, seed + 3), limit_s=120.0)
    assert verdict.seed is not None, verdict.why
