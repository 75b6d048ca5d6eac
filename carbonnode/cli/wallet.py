"""`carbonnode wallet`: encrypted signing keys. The private key never leaves the store."""

from pathlib import Path
from typing import Any

import click

from carbonnode.cli.groups import SuggestingGroup
from carbonnode.cli.output import Output, note
from carbonnode.cli.session import PASSPHRASE_VARIABLE, json_option, passphrase, wallet_directory, wallets_option


@click.group(cls=SuggestingGroup)
def wallet() -> None:
    """Encrypted signing keys: new, list, show, backup, restore.

    \b
    Example:
      carbonnode wallet new trader-1
    """


def _store(wallets: Path | None) -> Any:
    from carbonnode.identity.keystore import KeyStore

    return KeyStore(wallet_directory(wallets))


def _row(info: Any, directory: Path) -> dict[str, str]:
    return {"name": info.name, "public_key": info.public_key.hex(), "directory": str(directory)}


@wallet.command("new")
@click.argument("name")
@wallets_option
@json_option
def new(name: str, wallets: Path | None, output: Output) -> None:
    """Make a key NAME and store it encrypted; it never overwrites one.

    The passphrase comes from a prompt, or from the file that CARBONNODE_PASSPHRASE_FILE names.

    \b
    Example:
      carbonnode wallet new trader-1
    """
    directory = wallet_directory(wallets)
    info = _store(wallets).create(name, passphrase(directory, f"the new wallet {name}", confirm=True))
    output.result(_row(info, directory))
    note(f"keep the passphrase: without it the key is lost; `wallet backup FILE` copies the encrypted key ({PASSPHRASE_VARIABLE} opens it in scripts)")


@wallet.command("list")
@wallets_option
@json_option
def list_(wallets: Path | None, output: Output) -> None:
    """The wallets of the key store.

    \b
    Example:
      carbonnode wallet list --wallets .devnet/wallets
    """
    directory = wallet_directory(wallets)
    found = [_row(info, directory) for info in _store(wallets).list_keys()]
    if not found:
        note(f"no wallets in {directory}: `carbonnode wallet new NAME` makes one")
    output.result(found)


@wallet.command("show")
@click.argument("name")
@wallets_option
@json_option
def show(name: str, wallets: Path | None, output: Output) -> None:
    """The public key of wallet NAME; asks for no passphrase.

    \b
    Example:
      carbonnode wallet show trader-1
    """
    output.result(_row(_store(wallets).show(name), wallet_directory(wallets)))


@wallet.command("backup")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("names", nargs=-1)
@wallets_option
@json_option
def backup(file: Path, names: tuple[str, ...], wallets: Path | None, output: Output) -> None:
    """Write the wallets NAMES (all without names), still encrypted, into the new FILE.

    \b
    Example:
      carbonnode wallet backup wallets.backup.json trader-1
    """
    count = _store(wallets).export_backup(file, names or None)
    output.result({"file": str(file), "wallets": count})


@wallet.command("restore")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@wallets_option
@json_option
def restore(file: Path, wallets: Path | None, output: Output) -> None:
    """Add the wallets of the backup FILE; none is added if a name is taken.

    \b
    Example:
      carbonnode wallet restore wallets.backup.json
    """
    directory = wallet_directory(wallets)
    output.result([_row(info, directory) for info in _store(wallets).import_backup(file)])
