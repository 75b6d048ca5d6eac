"""Plants every fault of tests/simulation/mutations, one after another, and tells which seed and which checker noticed it.

    python scripts/mutations.py [--only WORD] [--seeds 200]

Exit status 1 if one went unnoticed.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.simulation import mutants  # noqa: E402  the tests stand beside this script


def main() -> int:
    """Run them; the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", help="a word that the patch's name holds")
    parser.add_argument("--seeds", type=int, default=mutants.SEEDS)
    arguments = parser.parse_args()
    missed = []
    chosen = [patch for patch in mutants.patches() if arguments.only in patch.name]
    for patch in chosen:
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            verdict = mutants.hunt(patch, Path(folder), range(arguments.seeds))
        if verdict.seed is None:
            missed.append(patch)
        seed = "missed" if verdict.seed is None else f"seed {verdict.seed}"
        print(f"{patch.stem:45} {seed:>9} {time.monotonic() - began:6.1f} s  {verdict.why[:150]}", flush=True)
    print(f"{len(chosen)} faults, {len(missed)} unnoticed")
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
