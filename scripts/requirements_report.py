"""Which requirement of IEEE Std 3218-2022 is covered by which test; open ones are named, never hidden.

    python scripts/requirements_report.py [--open] [--json]

Reads `tests/requirements.toml` (clause id, title, tests as `path::name`; `missing`: which part of the check no test shows). Exit status 1 if a
named test doesn't exist.
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


def sorted_out(rows: dict[str, dict[str, Any]]) -> tuple[list[str], list[str], list[str]]:
    """Clauses whose check tests show as a whole, in part, not at all."""
    whole = [clause for clause, row in rows.items() if row["tests"] and not row.get("missing")]
    partly = [clause for clause, row in rows.items() if row["tests"] and row.get("missing")]
    return whole, partly, [clause for clause, row in rows.items() if not row["tests"]]


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
    whole, partly, missing = sorted_out(rows)
    if arguments.json:
        print(json.dumps({"requirements": len(rows), "covered": len(whole), "partly": partly, "open": missing, "missing_tests": wrong}))
    else:
        for clause, row in rows.items():
            if clause not in whole or not arguments.open:
                print(f"{clause:<22} {row['title']}")
                for test in row["tests"]:
                    print(f"{'':<22}   {test}")
                if clause not in whole:
                    print(f"{'':<22}   {'IN PART; not shown: ' + row['missing'] if row['tests'] else 'OPEN'}")
        print(f"\nof {len(rows)} requirements {len(whole)} are covered by tests, {len(partly)} in part, {len(missing)} are open")
    for line in wrong:
        print(f"names a test that doesn't exist: {line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
