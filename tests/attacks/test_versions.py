"""The checker's verdict, and the rule and place of every refusal, are the same on every supported version of Python.

The interpreters found are `python3.12`, `python3.13` and those in CARBONNODE_PYTHONS (a list of paths); the checker needs the standard library only.
"""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from carbonnode.vm.checker import check
from scripts.fuzz_author import Author

ROOT = Path(__file__).resolve().parent.parent.parent
SHARED = Path(os.environ.get("CARBONNODE_SHARED", str(ROOT.parent / "shared"))) / "attacks"
PROGRAM = """
import json, sys, warnings
warnings.simplefilter("error")
sys.path.insert(0, sys.argv[1])
from carbonnode.vm.checker import check
sources = json.load(sys.stdin)
print(json.dumps([[[e.rule, *([e.line, e.column] if e.rule != "syntax" else [])] for e in check(bytes.fromhex(source)).errors] for source in sources]))
"""
NEW_SYNTAX = [
    'x = f"{"a"}"\n',
    "type X = int\n",
    "if 1: type X = int\n",
    "for x in []: type X[T] = int\n",
    "while 1: break\nelse: type X = int\n",
    "def f[T](a):\n    return a\n",
    "class A[T]:\n    pass\n",
    "try:\n    pass\nexcept* E:\n    pass\n",
    "match 1:\n    case 1:\n        pass\n",
    "def f():\n    return (yield)\n",
    "x = 0777\n",
    "x = 1_\n",
    "x = 1if 1else 2\n",
    "x = 0x1for x in []\n",
    "x = 1__0\n",
    "x = '\\8'\n",
    "x = b'\\8'\n",
    "x = '\\\n'\n",
    "x = 'a\n",
    "x = ''' a\n",
    "def f(a, a):\n    return a\n",
    "def f(a=1, b):\n    return a\n",
    "f(a=1, a=2)\n",
    "f(a=1, 2)\n",
    "f(**a, *b)\n",
    "return 1\n",
    "break\n",
    "x = (1\n",
    "x = [1)\n",
    "  x = 1\n",
    "if 1:\nx = 1\n",
    "if 1:\n    x = 1\n  y = 2\n",
    "x = 1 +\n",
    "x = = 1\n",
    "None = 1\n",
    "True = 1\n",
    "x.None = 1\n",
    "def None():\n    pass\n",
    "del f()\n",
    "f() = 1\n",
    "(a, b) += 1\n",
    "a + 1 = 2\n",
    "x = yield\n",
    "lambda: (yield)\n",
    "x = *a\n",
    "*a = 1\n",
    "x = {**a}\n",
    "x = {*a}\n",
    "print 1\n",
    "exec 'a'\n",
    "x = `a`\n",
    "x <> 1\n",
    "x = a if b\n",
    "for x in 1, 2:\n    pass\n",
    "with (a as b):\n    pass\n",
    "async def f():\n    return [x async for x in y]\n",
    "x = not in y\n",
    "import a.b as c\n",
    "from . import x\n",
    "global x\n",
    "nonlocal x\n",
    "@a.b\ndef f():\n    pass\n",
    "@(1)\ndef f():\n    pass\n",
    "x: int\n",
    "(x): int = 1\n",
    "assert (1, 'a')\n",
    "x = 1 is 1\n",
    "x = 1 is ()\n",
    "x = () is None\n",
    "x = 'a' 'b' b'c'\n",
    "x = u'a'\n",
    "x = ur'a'\n",
    "x = 1.e5\n",
    "x = 1e\n",
    "x = 1jif 1 else 2\n",
    "x = 0b12\n",
    "x = 0o8\n",
    "x = 0x\n",
    "x = 5 if 1 else\n",
    "def f(:\n    pass\n",
    "def f()\n    pass\n",
    "else:\n    pass\n",
    "x = {1: 2, 3}\n",
    "x = {1, 2: 3}\n",
    "x = a[1:2:3, ::]\n",
    "x = a[]\n",
    "\\\n",
    "x = 1 \\\n",
]


def interpreters() -> list[str]:
    found = [path for path in (shutil.which(f"python3.{minor}") for minor in (12, 13)) if path]
    found += [str(path) for minor in (12, 13) for path in sorted(Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/python"))]
    return [*found, *os.environ.get("CARBONNODE_PYTHONS", "").split()]


def runs(python: str) -> bool:
    """Whether it starts: a version manager's shim may stand for a version that isn't installed."""
    return subprocess.run([python, "-c", "import ast"], capture_output=True, check=False, timeout=60).returncode == 0


def corpus() -> list[bytes]:
    sources = [path.read_bytes() for folder in (ROOT / "contracts", SHARED) for path in sorted(folder.glob("*.py"))]
    for path in sorted((Path(__file__).parent / "cases").glob("*.txt")):
        parts = re.split(rb"^(?:### .*|--- \w+)\n", path.read_bytes(), flags=re.MULTILINE)
        sources += parts[1:]
    frame = "@export\ndef go() -> int:\n    return 1\n"
    for line in NEW_SYNTAX:
        inner = "".join(f"    {part}\n" for part in line.splitlines())
        sources += [(frame + line).encode(), f"@export\ndef go() -> int:\n{inner}    return 1\n".encode()]
    author = Author(7)
    return sources + [author.contract(hostile=number % 4 != 0) for number in range(400)]


def test_the_verdict_is_the_same_on_every_version() -> None:
    pythons = [python for python in interpreters() if runs(python)]
    if not pythons:
        pytest.skip("no other interpreter: put python3.12 or python3.13 on the path, or name some in CARBONNODE_PYTHONS")
    sources = corpus()
    # Where a source isn't Python, CPython says the place, and each version has its own idea of it.
    expected = [[[e.rule, *([e.line, e.column] if e.rule != "syntax" else [])] for e in check(source).errors] for source in sources]
    assert sum(1 for errors in expected if not errors) > 100
    assert sum(1 for errors in expected if errors) > 500
    for python in pythons:
        given = json.dumps([source.hex() for source in sources])
        done = subprocess.run([python, "-c", PROGRAM, str(ROOT)], input=given, capture_output=True, text=True, check=True, timeout=300)
        for source, mine, other in zip(sources, expected, json.loads(done.stdout), strict=True):
            assert other == mine, (python, source.decode("latin-1"))
