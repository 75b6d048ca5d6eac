"""Draws the README's picture of a market year from `carbonnode devnet demo --json`: the summary of the terminal, as SVG.

python scripts/picture.py year.json docs/images/devnet.svg
"""

import io
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from rich._export_format import CONSOLE_SVG_FORMAT  # noqa: E402  the package stands beside this script
from rich.console import Console  # noqa: E402

from carbonnode.devnet.screen import draw_summary  # noqa: E402


def main(source: str, target: str) -> None:
    """Read the year, write the picture. No font is fetched from anywhere: the reader's own monospace font is used."""
    console = Console(record=True, width=80, file=io.StringIO(), force_terminal=True, highlight=False)
    year = json.loads(Path(source).read_text("utf-8"))
    # A path of the machine that drew it says nothing to readers.
    year["directory"], year["proof"]["file"] = ".devnet", ".devnet/year/trade.proof.json"
    draw_summary(console, year)
    template = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    Path(target).write_text(console.export_svg(title="make devnet", code_format=template), "utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    main(sys.argv[1], sys.argv[2])
