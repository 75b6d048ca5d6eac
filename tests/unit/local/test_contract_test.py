"""`contract test` and `contract new`, each in a process of its own: pytest within pytest would share its plugins."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from carbonnode.errors import ConfigError
from carbonnode.local.contract_new import write

ROOT = Path(__file__).resolve().parents[3]


def carbonnode(*argv: str, cwd: Path, hide_pytest: bool = False) -> "subprocess.CompletedProcess[str]":
    hide = "import importlib.util as u; f = u.find_spec; u.find_spec = lambda n, *a: None if n == 'pytest' else f(n, *a); "
    code = f"{hide if hide_pytest else ''}from carbonnode.cli.main import main; import sys; sys.exit(main())"
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run([sys.executable, "-c", code, *argv], capture_output=True, text=True, cwd=cwd, env=environment, timeout=120, check=False)


def test_the_template_passes_and_a_failure_is_told(tmp_path: Path) -> None:
    assert carbonnode("contract", "new", "pool", cwd=tmp_path).returncode == 0
    done = carbonnode("contract", "test", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["ok"], report["passed"], report["failed"]) == (True, 2, 0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pool.py", "test_pool.py"]
    test = tmp_path / "test_pool.py"
    test.write_text(test.read_text().replace("value=480", "value=481"))
    done = carbonnode("contract", "test", "test_pool.py", "--json", cwd=tmp_path)
    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert (report["ok"], report["passed"], report["failed"]) == (False, 1, 1)
    failed = next(entry for entry in report["tests"] if entry["outcome"] == "failed")
    assert failed["message"].startswith("AssertionError: pool.transfer(")
    assert "was expected to return 481, and returned 480" in failed["message"]
    assert json.loads(carbonnode("contract", "test", "-k", "nobody", "--json", cwd=tmp_path).stdout)["passed"] == 1
    test.write_text("import nonsense_that_is_not_there\n")
    done = carbonnode("contract", "test", "--json", cwd=tmp_path)
    assert done.returncode == 1
    assert "nonsense_that_is_not_there" in json.loads(done.stdout)["tests"][0]["message"]


def test_what_cannot_run_is_said(tmp_path: Path) -> None:
    done = carbonnode("contract", "test", "absent", cwd=tmp_path)
    assert (done.returncode, "absent: no such file or folder" in done.stderr) == (1, True)
    done = carbonnode("contract", "test", cwd=tmp_path)
    assert (done.returncode, "name files test_*.py" in done.stderr) == (1, True)
    done = carbonnode("contract", "test", cwd=tmp_path, hide_pytest=True)
    assert (done.returncode, "pip install 'carbonnode[test]'" in done.stderr) == (1, True)
    assert "Traceback" not in done.stderr


def test_new_overwrites_nothing_and_names_what_is_no_name(tmp_path: Path) -> None:
    (tmp_path / "test_pool.py").write_text("mine")
    with pytest.raises(ConfigError, match=r"test_pool\.py is there already"):
        write("pool", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["test_pool.py"]
    for name in ("Pool", "9pool", "po-ol", "", "p" * 41):
        with pytest.raises(ConfigError, match="can't be a contract's name"):
            write(name, tmp_path)
