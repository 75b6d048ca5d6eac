"""The house rules of docs/architecture.md, read from the source with `ast`: who may import whom, what pure packages may not touch, and sizes."""

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "carbonnode"

ANYONE = {"errors", "resources"}
"""Modules that every package may import (`carbonnode/__init__.py` holds the version only)."""

ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "resources": set(),
    "chain": set(),
    "consensus": {"chain"},
    "vm": {"chain"},
    "storage": {"chain"},
    "identity": {"chain"},
    "network": {"chain"},
    "ledger": {"vm", "chain"},
    "node": {"ledger", "chain", "consensus", "vm", "storage", "identity", "network"},
    "index": {"chain", "ledger"},
    "api": {"chain", "ledger"},
    "client": {"chain"},
    "local": {"vm", "ledger", "chain"},
    # docs/adr/0023: snapshots are made, verified and fetched by the production's own code.
    "sim": {"consensus", "chain", "storage", "ledger", "node"},
    # docs/adr/0009: a throw-away network needs a throw-away CA and a genesis made of shipped contracts.
    "devnet": {"client", "chain", "identity", "local"},
    "app": {"api", "index", "node", "ledger", "chain", "consensus", "vm", "storage", "identity", "network"},
    "web": set(),
    "cli": {"client", "local", "sim", "devnet", "app", "chain", "identity"},
    "__main__": {"cli"},
}
"""DESIGN section 2: package -> packages it may import besides itself and `ANYONE`."""

NARROW = {
    ("api", "ledger"): {"carbonnode.ledger.results"},
    ("index", "ledger"): {"carbonnode.ledger.results"},
    ("sim", "storage"): {"carbonnode.storage.journal_format"},
    ("sim", "node"): {"carbonnode.node.snapshot_machine", "carbonnode.node.wire"},
    ("sim", "ledger"): {f"carbonnode.ledger.{name}" for name in ("epochs", "layout", "salts", "snapshot", "snapshot_build", "tree")},
}
"""Edges that reach one module only: types and protocols, a file format."""

PURE = ("chain", "consensus", "vm", "ledger")
IMPURE_MODULES = {"time", "datetime", "random", "secrets", "socket", "asyncio", "trio", "os", "threading", "subprocess", "uuid", "tempfile", "select", "signal"}
FLOAT_NAMES = {"float", "complex"}
FLOAT_EXCEPTIONS = {"carbonnode/chain/arguments.py": "similarity bound of `difflib` for a misspelt word in a message"}
MAX_FUNCTION_LINES = 70
MAX_FILE_LINES = 600


def python_files() -> list[Path]:
    """Every Python file of the tree that we write (contracts are a dialect with their own checker)."""
    files = [p for top in ("carbonnode", "tests", "scripts") for p in sorted((ROOT / top).rglob("*.py"))]
    return [*files, ROOT / "setup.py"]


def package_of(path: Path) -> str:
    """`carbonnode/vm/keys.py` -> `vm`; `carbonnode/errors.py` -> `errors`."""
    relative = path.relative_to(PACKAGE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def imports_of(path: Path) -> Iterator[tuple[str, int]]:
    """Absolute names of imported modules with their lines, wherever they stand in the file."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                base = list(path.relative_to(ROOT).with_suffix("").parts[: -node.level])
                yield ".".join([*base, *(node.module or "").split(".")]).rstrip("."), node.lineno
            elif node.module:
                for alias in node.names:
                    # `from package import module` names a module as much as `import package.module` does.
                    inner = ROOT.joinpath(*node.module.split("."), alias.name)
                    is_module = node.module == "carbonnode" or inner.with_suffix(".py").is_file() or inner.is_dir()
                    yield f"{node.module}.{alias.name}" if is_module else node.module, node.lineno


def package_files(*packages: str) -> list[Path]:
    return [p for p in sorted(PACKAGE.rglob("*.py")) if not packages or package_of(p) in packages]


def test_packages_import_only_downwards() -> None:
    wrong = []
    for path in package_files():
        package = package_of(path)
        if package == "__init__":
            continue
        assert package in ALLOWED, f"{path}: no rule for package {package}: give it its place in ALLOWED and in docs/architecture.md"
        for name, line in imports_of(path):
            if not name.startswith("carbonnode.") or name == "carbonnode.__version__":
                continue
            target = name.split(".")[1]
            where = f"{path.relative_to(ROOT)}:{line}"
            if target != package and target not in ANYONE and target not in ALLOWED[package]:
                wrong.append(f"{where}: {package} may not import {name}")
            modules = NARROW.get((package, target))
            if modules is not None and name not in modules:
                wrong.append(f"{where}: {package} may import of {target} only {', '.join(sorted(modules))}, not {name}")
    assert not wrong, "\n".join(wrong)


def test_layers_below_the_ledger_never_import_each_other() -> None:
    floor = {"consensus", "vm", "storage", "identity", "network"}
    for package in floor:
        assert not ALLOWED[package] & floor, package


def test_pure_packages_touch_no_clock_random_io_or_environment() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in package_files(*PURE)
        for name, line in imports_of(path)
        if name.split(".")[0] in IMPURE_MODULES
    ]
    assert not wrong, "\n".join(wrong)


def test_pure_packages_do_no_float_arithmetic() -> None:
    wrong = []
    for path in package_files(*PURE):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if path.relative_to(ROOT).as_posix() in FLOAT_EXCEPTIONS:
                continue
            # Refusing floats names the type; nothing else may: no literal, no true division, no conversion.
            literal = isinstance(node, ast.Constant) and isinstance(node.value, float | complex)
            division = isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div) and not _is_path(node)
            conversion = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in FLOAT_NAMES
            if literal or division or conversion:
                wrong.append(f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}")
    assert not wrong, "\n".join(wrong)


def _is_path(node: ast.BinOp | ast.AugAssign) -> bool:
    right = node.right if isinstance(node, ast.BinOp) else node.value
    return isinstance(right, ast.JoinedStr) or (isinstance(right, ast.Constant) and isinstance(right.value, str))


def test_functions_and_files_stay_small() -> None:
    wrong = []
    for path in python_files():
        text = path.read_text("utf-8")
        if text.count("\n") > MAX_FILE_LINES:
            wrong.append(f"{path.relative_to(ROOT)}: {text.count(chr(10))} lines (at most {MAX_FILE_LINES})")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno
                if lines > MAX_FUNCTION_LINES:
                    wrong.append(f"{path.relative_to(ROOT)}:{node.lineno}: {node.name} has {lines} lines (at most {MAX_FUNCTION_LINES})")
    assert not wrong, "\n".join(wrong)


def test_no_work_is_left_marked_undone() -> None:
    mark = re.compile(r"\b(?:" + "|".join(("TO" + "DO", "FIX" + "ME", "X" * 3)) + r")\b")
    wrong = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in [*python_files(), *sorted((ROOT / "contracts").glob("*.py"))]
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if mark.search(line)
    ]
    assert not wrong, "\n".join(wrong)


def test_contracts_are_read_and_never_imported() -> None:
    names = {path.stem for path in (ROOT / "contracts").glob("*.py")}
    wrong = []
    for path in python_files():
        for name, line in imports_of(path):
            if name == "contracts" or name.startswith(("contracts.", "carbonnode.shipped")) or name in names - {"rules", "identity"}:
                wrong.append(f"{path.relative_to(ROOT)}:{line}: imports {name}")
    assert not wrong, "\n".join(wrong)
    assert not list((ROOT / "contracts").rglob("__init__.py"))


def tracked_files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.fail("this test reads the list of files from git: run it in a checkout")
    return [ROOT / name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file()]


def test_no_registry_host_and_no_private_path_stands_in_the_tree() -> None:
    host = re.compile(r"https?://[^ \"]*(?:pypi|pythonhosted|npmjs|registry|mirror)")
    wrong = []
    for path in tracked_files():
        if path.suffix in {".png", ".gz"}:
            continue
        text = path.read_text("utf-8", errors="replace")
        lockish = path.suffix in {".lock", ".toml", ".json", ".txt", ".cfg"} or path.name == ".npmrc"
        if lockish and host.search(text):
            wrong.append(f"{path.relative_to(ROOT)}: names a package registry's host: pin by name, version and hash")
        if f"{ROOT.parent}/" in text and len(ROOT.parts) > 2:
            wrong.append(f"{path.relative_to(ROOT)}: holds the path of one machine")
    assert not wrong, "\n".join(wrong)


def test_every_locked_package_has_hashes_and_an_exact_version() -> None:
    for lock in ("dev.lock", "runtime.lock", "build.lock"):
        blocks = re.split(r"\n(?=[a-z0-9])", (ROOT / "requirements" / lock).read_text("utf-8").strip())
        for block in blocks:
            assert re.match(r"[a-z0-9._-]+==[^ ]+ ", block), block.splitlines()[0]
            assert "--hash=sha256:" in block, block.splitlines()[0]


def test_runtime_lock_holds_what_the_dev_lock_tested() -> None:
    def pins(lock: str) -> set[str]:
        return set(re.findall(r"^[a-z0-9._-]+==[^ ]+", (ROOT / "requirements" / lock).read_text("utf-8"), re.MULTILINE))

    assert pins("runtime.lock") <= pins("dev.lock")


def test_every_lint_exception_gives_its_reason() -> None:
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    ruff = text[text.index("[tool.ruff.lint]") : text.index("[tool.ruff.lint.pydocstyle]")]
    for line in ruff.splitlines():
        if re.match(r'\s+"[A-Z]+[0-9]*",', line):
            assert "#" in line, f"pyproject.toml: {line.strip()}: say why this rule is off"
    assert tomllib.loads(text)["tool"]["ruff"]["lint"]["select"] == ["ALL"]
