"""Renews the blocks of docs/contracts.md that are made: the worked contract, the difference of its versions, its gas.

    python scripts/render_guide.py [--check]

With --check nothing is written; exit status 1 if a block is out of date (tests/unit/local/test_guide.py asks so).
"""

import difflib
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from carbonnode.local import contract_tools  # noqa: E402  the package stands beside this script

GUIDE = ROOT / "docs" / "contracts.md"
EXAMPLES = ROOT / "docs" / "examples"
STEWARD = "53" * 32
"""The key that the guide's command line names."""


def gas_table() -> str:
    """What `carbonnode contract gas` shows of opening the pool."""
    found = contract_tools.gas([EXAMPLES / "pool.py"], "start", args=[30], init_args=[{"hex": STEWARD}, 1000], sender=STEWARD)
    rows = ["line    gas   share  count  source"]
    rows += [f"{line['line']:>4}  {line['gas']:>5,}  {line['share']:4.1f} %  {line['count']:>5}  {line['source']}" for line in found["lines"]]
    return "\n".join([*rows, f"{found['gas_used']:,} gas: {found['outside']:,} of them for the transaction and for entering methods"])


def version_difference() -> str:
    """The second version as a difference from the first."""
    one, two = ((EXAMPLES / name).read_text("utf-8").splitlines() for name in ("pool.py", "pool_v2.py"))
    return "\n".join(difflib.unified_diff(one, two, "pool.py", "pool_v2.py", lineterm="", n=1))


def rendered(text: str) -> str:
    """The guide with its made blocks renewed."""
    made = {
        "python contract=pool": (EXAMPLES / "pool.py").read_text("utf-8").rstrip("\n"),
        "text gas": gas_table(),
        "diff pool.py pool_v2.py": version_difference(),
    }
    for head, body in made.items():
        found = re.search(rf"^```{re.escape(head)}\n(.*?)\n```$", text, re.DOTALL | re.MULTILINE)
        assert found, f"docs/contracts.md has no block ```{head}"
        text = text[: found.start(1)] + body + text[found.end(1) :]
    return text


def main() -> int:
    """Write, or compare."""
    before = GUIDE.read_text("utf-8")
    after = rendered(before)
    if "--check" in sys.argv[1:]:
        changes = list(difflib.unified_diff(before.splitlines(), after.splitlines(), "docs/contracts.md", "renewed", lineterm="", n=0))
        print("\n".join([*changes, "docs/contracts.md is out of date: python scripts/render_guide.py"] if changes else ["up to date"]))
        return 1 if changes else 0
    GUIDE.write_text(after, "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
