"""Planted faults: patches applied to a copy of the package, run through the simulator until a checker notices. The work tree is never touched."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(__file__).parent / "mutations"
SEEDS = 200
"""Within so many seeds of the suite's standard configuration each fault must be noticed."""

_HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+\d+(?:,\d+)? @@")
_CHILD = """
import json, sys
import carbonnode
from carbonnode.sim import simulate, standard
assert carbonnode.__file__.startswith(sys.argv[1]), carbonnode.__file__
for seed in map(int, sys.argv[2].split(",")):
    result = simulate(seed, **standard(seed))
    if not result.ok:
        print(json.dumps([seed, result.violations[0] if result.violations else "no convergence after healing"]))
        break
else:
    print("null")
"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a fault: the seed and the checker's words, or why it wasn't noticed."""

    seed: int | None
    why: str


def patches() -> list[Path]:
    """All, by the line of PBFT.md that they break."""
    return sorted(FOLDER.glob("*.patch"))


def line_of(patch: Path) -> int:
    """The line of PBFT.md in a patch's name."""
    return int(patch.name.split("_", 1)[0])


def apply(patch: str, root: Path) -> None:
    """Apply a unified diff of one file beneath `root`. Raises `ValueError` unless every line of every hunk stands exactly where it says."""
    lines = patch.splitlines(keepends=True)
    if not lines[0].startswith("--- a/") or lines[1] != lines[0].replace("--- a/", "+++ b/"):
        raise ValueError("a patch begins with the lines --- a/FILE and +++ b/FILE")
    path = root / lines[0][6:].strip()
    old = path.read_text("utf-8").splitlines(keepends=True)
    new: list[str] = []
    at, number = 0, 2
    while number < len(lines):
        head = _HUNK.match(lines[number])
        if head is None:
            raise ValueError(f"line {number + 1} isn't the head of a hunk: {lines[number]!r}")
        start = int(head[1]) - 1
        new += old[at:start]
        at, number = start, number + 1
        while number < len(lines) and not lines[number].startswith("@@"):
            sign, text = lines[number][0], lines[number][1:]
            if sign in " -":
                if at >= len(old) or old[at] != text:
                    raise ValueError(f"{path.name} line {at + 1} isn't {text!r}: renew the patch")
                at += 1
            if sign in " +":
                new.append(text)
            number += 1
    path.write_text("".join([*new, *old[at:]]), "utf-8")


def plant(patch: Path, folder: Path) -> Path:
    """A copy of the package with the fault in it; gives the folder to import it from."""
    shutil.copytree(ROOT / "carbonnode", folder / "carbonnode", ignore=shutil.ignore_patterns("__pycache__", "ui", "*.so"))
    apply(patch.read_text("utf-8"), folder)
    return folder


def hunt(patch: Path, folder: Path, seeds: range | tuple[int, ...] = range(SEEDS), limit_s: float = 1_800.0) -> Verdict:
    """Run seeds against the fault until a checker notices; a crash of Python doesn't count."""
    root = plant(patch, folder)
    command = [sys.executable, "-c", _CHILD, str(root), ",".join(map(str, seeds))]
    place = {"PYTHONPATH": str(root), "PYTHONHASHSEED": "0"}
    try:
        done = subprocess.run(command, cwd=root, env=place, capture_output=True, text=True, timeout=limit_s, check=False)
    except subprocess.TimeoutExpired:
        return Verdict(None, f"no verdict within {limit_s} s")
    if done.returncode != 0:
        return Verdict(None, f"Python crashed: {done.stderr.strip().splitlines()[-1] if done.stderr else done.returncode}")
    found = json.loads(done.stdout)
    return Verdict(None, f"{len(seeds)} seeds didn't notice") if found is None else Verdict(found[0], found[1])
