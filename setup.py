"""The one thing `pyproject.toml` can't say: the top-level folders `contracts/` and `genesis/` ship inside the package.

They are data that people read first, so they stand at the top of the tree; in a wheel they lie in `carbonnode/shipped/`, where
`carbonnode.resources` finds them. They are never imported.
"""

from pathlib import Path

from setuptools import find_namespace_packages, setup

SHIPPED = ("contracts", "genesis")


def shipped_packages() -> dict[str, str]:
    """Package name -> folder, for each shipped folder and the folders below it."""
    found = {}
    for top in SHIPPED:
        for folder in [Path(top), *sorted(p for p in Path(top).rglob("*") if p.is_dir() and p.name != "__pycache__")]:
            found[".".join(("carbonnode", "shipped", *folder.parts))] = folder.as_posix()
    return found


mapping = shipped_packages()
setup(
    packages=[*find_namespace_packages(include=["carbonnode", "carbonnode.*"]), *mapping],
    package_dir=mapping,
    package_data={"": ["*"]},
    exclude_package_data={"": ["*.pyc", "__pycache__/*"]},
)
