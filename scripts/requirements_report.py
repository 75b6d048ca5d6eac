"""Which requirement of IEEE Std 3218-2022 is covered by which test; open ones are named, never hidden.

    python scripts/requirements_report.py [--open] [--json]

Reads `tests/requirements.toml` (clause id, title, tests as `path::name`). Exit status 1 if a named test doesn't exist.
"""

import argparse
import ast
import json
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
REGISTER = ROOT / "tests" / "requirements.toml"


def load() -> dict[str, dict[str, Any]]:
    """Clause id -> its row."""
    rows: dict[str, dict[str, Any]] = tomllib.loads(REGISTER.read_text("utf-8"))["requirement"]
    return rows


def missing_tests(rows: dict[str, dict[str, Any]]) -> list[str]:
    """Tests that a row names and no file has."""
    names: dict[str, set[str]] = {}
    missing = []
    for clause, row in rows.items():
        for test in row["tests"]:
            path, _, name = test.partition("::")
            if path not in names:
                file = ROOT / path
                tree = ast.parse(file.read_text("utf-8")) if file.is_file() else ast.Module([], [])
                names[path] = {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)}
            if not (ROOT / path).is_file() or (name and name not in names[path]):
                missing.append(f"{clause}: {test}")
    return missing


def main() -> int:
    """Print the report; the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--open", action="store_true", help="only those without a test")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    rows, wrong = load(), missing_tests(load())
    covered = [clause for clause, row in rows.items() if row["tests"]]
    if arguments.json:
        print(json.dumps({"requirements": len(rows), "covered": len(covered), "open": [c for c in rows if c not in covered], "missing_tests": wrong}))
    else:
        for clause, row in rows.items():
            if not row["tests"] or not arguments.open:
                print(f"{clause:<22} {row['title']}")
                for test in row["tests"]:
                    print(f"{'':<22}   {test}")
                if not row["tests"]:
                    print(f"{'':<22}   OPEN")
        print(f"\n{len(covered)} of {len(rows)} requirements have a test; {len(rows) - len(covered)} are open")
    for line in wrong:
        print(f"names a test that doesn't exist: {line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
