"""The back end of `carbonnode contract test`: an author's pytest files with our fixtures, and what came of them.

pytest runs them, not a runner of our own: authors know it, and it says best why a test failed. It is an extra of the package, not a dependency of a node
(docs/adr/0014).
"""

import contextlib
import importlib.util
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from carbonnode.errors import ConfigError

FIXTURES: Final = "carbonnode.local.testing"
_NOTHING_COLLECTED: Final = 5


class _Results:
    """A pytest plugin that keeps how each test ended."""

    def __init__(self) -> None:
        self.tests: dict[str, dict[str, Any]] = {}
        self.broken: list[dict[str, Any]] = []

    def pytest_runtest_logreport(self, report: Any) -> None:
        """A test's set-up, body or tear-down ended."""
        entry = self.tests.setdefault(report.nodeid, {"test": report.nodeid, "outcome": "passed", "seconds": 0.0, "message": ""})
        entry["seconds"] = round(entry["seconds"] + report.duration, 3)
        if report.outcome != "passed" and entry["outcome"] != "failed":
            entry["outcome"], entry["message"] = report.outcome, _reason(report)

    def pytest_collectreport(self, report: Any) -> None:
        """A file was read."""
        if report.outcome == "failed":
            self.broken.append({"test": report.nodeid, "outcome": "failed", "seconds": 0.0, "message": _reason(report)})


def _reason(report: Any) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash is not None else str(report.longrepr or "")
    return str(text).strip().split("\n")[0] if crash is not None else str(text).strip().split("\n")[-1]


def run_tests(paths: Sequence[Path], *, select: str = "", options: Sequence[str] = ()) -> dict[str, Any]:
    """{"ok", "passed", "failed", "skipped", "tests": [{"test", "outcome", "seconds", "message"}]}; pytest's own report goes to stderr.

    Raises `ConfigError` without pytest, without such a file, and where no test is found.
    """
    if importlib.util.find_spec("pytest") is None:
        raise ConfigError("contract test needs pytest, which a node doesn't: install it with pip install 'carbonnode[test]'")
    import pytest

    for path in paths:
        if not path.exists():
            raise ConfigError(f"{path}: no such file or folder: give a test file, or the folder that holds test_*.py")
    results = _Results()
    arguments = ["-p", FIXTURES, "-p", "no:cacheprovider", *(["-k", select] if select else []), *options, *map(str, paths)]
    with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
        # What an installed pytest-asyncio has to say about its own settings is nothing to the author of a contract.
        warnings.filterwarnings("ignore", message=".*asyncio_default_fixture_loop_scope")
        status = int(pytest.main(arguments, plugins=[results]))
    tests = [*results.broken, *results.tests.values()]
    if status == _NOTHING_COLLECTED:
        raise ConfigError(f"no test in {', '.join(map(str, paths))}: name files test_*.py and functions test_*")
    if status not in (0, 1, 2) or (status == 2 and not tests):
        raise ConfigError(f"pytest couldn't run (its exit status is {status}): what it said stands above")
    count = {outcome: sum(test["outcome"] == outcome for test in tests) for outcome in ("passed", "failed", "skipped")}
    return {"ok": status == 0, **count, "tests": tests}
