"""The register of requirements: complete, and every test it names exists."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent
CLAUSES = 236
"""Rows of clauses 4 to 9 in the register; five cross-cutting ones of ours come on top."""


@pytest.fixture(scope="module")
def report() -> ModuleType:
    spec = importlib.util.spec_from_file_location("requirements_report", ROOT / "scripts" / "requirements_report.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_register_is_complete(report: ModuleType) -> None:
    rows = report.load()
    assert len([clause for clause in rows if clause[0].isdigit()]) == CLAUSES
    assert {clause[0] for clause in rows} == {"4", "5", "6", "7", "8", "9", "X"}
    for clause, row in rows.items():
        assert set(row) - {"missing"} == {"force", "title", "check", "tests"}, clause
        assert row.get("missing", "x"), clause
        assert row["tests"] or "missing" not in row, f"{clause} is open: nothing is there that something could be missing from"
        assert row["force"] in {"M", "F", "M/O"}, clause
        assert row["title"], clause


def test_what_is_covered_in_part_is_not_counted_as_covered(report: ModuleType) -> None:
    rows = {"a": {"tests": ["t"]}, "b": {"tests": ["t"], "missing": "the other half"}, "c": {"tests": []}}
    assert report.sorted_out(rows) == (["a"], ["b"], ["c"])
    whole, partly, missing = report.sorted_out(report.load())
    assert len(whole) + len(partly) + len(missing) == CLAUSES + 5


def test_every_named_test_exists(report: ModuleType) -> None:
    assert report.missing_tests(report.load()) == []


def test_a_test_that_does_not_exist_is_found(report: ModuleType) -> None:
    rows = {"4.1": {"tests": ["tests/test_requirements.py::test_nowhere", "tests/nowhere.py"]}}
    assert report.missing_tests(rows) == ["4.1: tests/test_requirements.py::test_nowhere", "4.1: tests/nowhere.py"]
