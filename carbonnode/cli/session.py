"""Options that many commands share, and what stands behind them: the node, the wallets, the passphrase."""

import asyncio
import functools
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from carbonnode.cli.output import Output, note
from carbonnode.errors import ConfigError, KeystoreError

if TYPE_CHECKING:
    from carbonnode.chain.signing import Signer
    from carbonnode.client import Client

NODE_VARIABLE, WALLETS_VARIABLE, PASSPHRASE_VARIABLE = "CARBONNODE_NODE", "CARBONNODE_WALLETS", "CARBONNODE_PASSPHRASE_FILE"
DEVNET = Path(".devnet")
DEFAULT_URL = "http://127.0.0.1:27001"
F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


def output_of(ctx: click.Context) -> Output:
    """The invocation's output."""
    found = ctx.find_object(Output)
    if found is None:
        found = ctx.obj = Output()
    return found


def json_option(function: F) -> F:
    """`--json`: one JSON document on stdout. The command gets `output`."""

    @functools.wraps(function)
    def wrapped(*args: Any, as_json: bool, **kwargs: Any) -> Any:
        output = output_of(click.get_current_context())
        output.forced_json = output.forced_json or as_json
        return function(*args, output=output, **kwargs)

    option = click.option("--json", "as_json", is_flag=True, help="Print exactly one JSON document (the default where stdout is no terminal).")
    return option(wrapped)  # type: ignore[return-value]


def node_option(function: F) -> F:
    """`--node URL`: the command gets `node`."""
    return click.option(
        "--node",
        metavar="URL",
        help=f"The node to ask; several, separated by commas, are tried in turn. Default: {NODE_VARIABLE}, else the devnet in ./{DEVNET}, else {DEFAULT_URL}.",
    )(function)


def wallets_option(function: F) -> F:
    """`--wallets DIR`: the command gets `wallets`."""
    return click.option(
        "--wallets",
        type=click.Path(file_okay=False, path_type=Path),
        metavar="DIR",
        help=f"Directory of the key store. Default: {WALLETS_VARIABLE}, else ./{DEVNET}/wallets where it exists, else ~/.carbonnode/wallets.",
    )(function)


def signer_options(*, required: bool) -> Callable[[F], F]:
    """`--from NAME` and `--wallets DIR`: the command gets `wallet` and `wallets`."""

    def decorate(function: F) -> F:
        option = click.option(
            "--from", "wallet", required=required, metavar="NAME", help="The wallet that signs: a name in the key store, or DIR/NAME."
        )
        return option(wallets_option(function))

    return decorate


def gas_options(function: F) -> F:
    """`--gas N` and `--force`: the command gets `gas` and `force`."""
    option = click.option("--force", is_flag=True, help="Send it though a dry run says that the contract would refuse it.")
    limit = click.option(
        "--gas", type=click.IntRange(min=1), metavar="N", help="The gas limit to declare, without a dry run. Default: what the node's dry run suggests."
    )
    return limit(option(function))


def node_urls(node: str | None) -> list[str]:
    """The base URLs to ask, in order."""
    given = node or os.environ.get(NODE_VARIABLE)
    if given:
        return [url for url in (part.strip() for part in given.split(",")) if url]
    return devnet_urls(DEVNET) or [DEFAULT_URL]


def devnet_urls(directory: Path) -> list[str]:
    """The HTTP addresses of a devnet's nodes, or nothing where there is none."""
    import msgspec

    try:
        data = msgspec.json.decode((directory / "devnet.json").read_bytes())
        return [f"http://127.0.0.1:{int(item['api_port'])}" for item in data["nodes"]]
    except (OSError, msgspec.DecodeError, KeyError, TypeError, ValueError):
        return []


def wallet_directory(wallets: Path | None) -> Path:
    """The key store's directory."""
    if wallets is not None:
        return wallets
    given = os.environ.get(WALLETS_VARIABLE)
    if given:
        return Path(given)
    return DEVNET / "wallets" if (DEVNET / "wallets").is_dir() else Path.home() / ".carbonnode" / "wallets"


def passphrase(directory: Path, what: str, *, confirm: bool = False) -> str:
    """From the file that CARBONNODE_PASSPHRASE_FILE names, a devnet's own file beside the key store, or a prompt. Raises `KeystoreError`."""
    from carbonnode.identity.keystore import read_passphrase_file

    given = os.environ.get(PASSPHRASE_VARIABLE)
    if given:
        return read_passphrase_file(Path(given))
    beside = directory.parent
    if (beside / "devnet.json").is_file() and (beside / "passphrase").is_file():
        return read_passphrase_file(beside / "passphrase")
    if not sys.stdin.isatty():
        raise KeystoreError(f"no passphrase for {what}: set {PASSPHRASE_VARIABLE} to a file that holds it, or run this on a terminal")
    answer: str = click.prompt(f"Passphrase for {what}", hide_input=True, confirmation_prompt=confirm, err=True)
    return answer


def open_wallet(wallet: str, wallets: Path | None) -> "Signer":
    """Unlock a wallet. Raises `KeystoreError` that names the wallets there are."""
    from carbonnode.identity.keystore import KeyStore

    directory = wallet_directory(wallets)
    if "/" in wallet:
        directory, wallet = Path(wallet).parent, Path(wallet).name
    store = KeyStore(directory)
    known = [info.name for info in store.list_keys()]
    if wallet not in known:
        from carbonnode.chain.arguments import did_you_mean

        more = ", ..." if len(known) > 8 else ""
        there = f"it has {', '.join(known[:8])}{more}" if known else "it is empty or missing: `carbonnode wallet new NAME` makes one"
        raise KeystoreError(f"no wallet {wallet!r} in {directory}{did_you_mean(wallet, known)}: {there}")
    return store.unlock(wallet, passphrase(directory, f"wallet {wallet}"))


def with_client(node: str | None, work: "Callable[[Client], Awaitable[T]]", signer: "Signer | None" = None) -> T:
    """Run `work` with a client of the node."""
    from carbonnode.client import Client

    async def session() -> T:
        async with Client(node_urls(node), signer=signer) as client:
            return await work(client)

    return asyncio.run(session())


def read_file(path: Path, what: str) -> bytes:
    """A file's bytes. Raises `ConfigError` that names it."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{what} {path}: {error.strerror or error}: check the path") from None


def write_file(path: Path, data: bytes, what: str) -> None:
    """Write a file and say so on stderr. Raises `ConfigError`."""
    try:
        path.write_bytes(data)
    except OSError as error:
        raise ConfigError(f"{what} {path}: {error.strerror or error}: check the path and its rights") from None
    note(f"{what} written to {path}")
