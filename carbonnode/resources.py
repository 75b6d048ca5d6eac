"""Files that ship with the program: contract sources, rule sets, genesis templates, the data of the market year.

In a checkout they stand at the top (`contracts/`, `genesis/`); in an installed wheel they lie inside the package (`setup.py` maps them there).
"""

from pathlib import Path

from carbonnode.errors import ConfigError

_PACKAGE = Path(__file__).resolve().parent
SHIPPED = ("contracts", "genesis")


def shipped(name: str) -> Path:
    """The folder `name` (one of `SHIPPED`) of this installation. Raises `ConfigError` if it is missing."""
    for folder in (_PACKAGE / "shipped" / name, _PACKAGE.parent / name):
        if name in SHIPPED and folder.is_dir():
            return folder
    raise ConfigError(f"the folder {name}/ that ships with carbonnode is missing beside {_PACKAGE}: reinstall the wheel, or run from a full checkout")


def contracts_dir() -> Path:
    """Contract sources in the dialect, one file a contract: `<name>.py`. Read, never imported."""
    return shipped("contracts")


def genesis_dir() -> Path:
    """Rule sets (`rules/`), example genesis files and data (`data/`)."""
    return shipped("genesis")


def contract_source(name: str) -> str:
    """The source text of a shipped contract. Raises `ConfigError` when there is none of that name."""
    path = contracts_dir() / f"{name}.py"
    if not path.is_file():
        names = ", ".join(sorted(p.stem for p in contracts_dir().glob("*.py")))
        raise ConfigError(f"no contract named {name!r} ships with this release: there are {names}")
    return path.read_text(encoding="ascii")
