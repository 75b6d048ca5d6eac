"""`carbonnode status` and `carbonnode doctor`: a node at a glance, and what to do about what is wrong with it."""

import asyncio
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from carbonnode.cli.output import Output, note
from carbonnode.cli.session import json_option, node_option, node_urls, read_file
from carbonnode.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from carbonnode.client import NodeInfo

F = TypeVar("F", bound=Callable[..., Any])
STALE_MS = 15_000
"""A chain whose last block is older than this (an idle network makes one every 2 s) stands still."""


def place_options(function: F) -> F:
    """`--dir D` or `--node URL`."""
    option = click.option("--dir", "directory", type=click.Path(file_okay=False, path_type=Path), help="The node's directory: its own HTTP port is asked.")
    return node_option(option(function))


def _urls(directory: Path | None, node: str | None) -> list[str]:
    if directory is None:
        return node_urls(node)
    path = directory / "config.toml"
    try:
        api = tomllib.loads(read_file(path, "configuration").decode())["api"]
        return [f"http://{api['host']}:{int(api['port'])}"]
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{path}: no readable [api] section ({error!r}): correct the file") from None


async def _ask(urls: list[str]) -> "NodeInfo":
    from carbonnode.client import Client

    async with Client(urls[:1]) as client:
        return await client.status()


def _document(info: "NodeInfo", url: str) -> dict[str, Any]:
    import msgspec

    document: dict[str, Any] = msgspec.to_builtins(info)
    document["api"] = url
    return document


@click.command()
@place_options
@json_option
def status(directory: Path | None, node: str | None, output: Output) -> int:
    """A running node at a glance: height, roots, view, links, waiting transactions, evidence of misbehaviour.

    \b
    Example:
      carbonnode status --node http://127.0.0.1:27001
      carbonnode status --dir n1 --json
    """
    urls = _urls(directory, node)
    document = _document(asyncio.run(_ask(urls)), urls[0])

    def render(console: "Console") -> None:
        from carbonnode.cli.output import pairs, rows

        peers = document["peer_list"]
        console.print(pairs({name: value for name, value in document.items() if name not in ("peer_list", "warnings", "confinement")}))
        if peers:
            console.print(rows(list(peers[0]), [list(peer.values()) for peer in peers]))
        for warning in document["warnings"]:
            console.print(f"! {warning}", markup=False)
        for line in document["confinement"]:
            console.print(f"executor: {line}", markup=False)

    output.result(document, render)
    return 0


def findings(info: "NodeInfo", now_ms: int) -> list[dict[str, Any]]:
    """What a running node's status says is wrong: what, whether it is well, what to do."""
    down = ", ".join(peer.name for peer in info.peer_list if not peer.connected)
    links = f"down: {down}" if down else f"{info.peers} up"
    age_ms = now_ms - info.block_time_ms
    return [
        {"check": "blocks", "ok": age_ms < STALE_MS, "detail": f"height {info.height}, {age_ms} ms old", "do": "look whether a quorum of validators runs"},
        {"check": "links", "ok": not down, "detail": links, "do": "start these nodes, or check the network"},
        {"check": "sync", "ok": not info.syncing, "detail": "catching up" if info.syncing else "follows the chain", "do": "wait; it comes back by itself"},
        {"check": "evidence", "ok": info.evidence == 0, "detail": f"{info.evidence} proven faults", "do": "verify the proofs below; call the operator"},
        {"check": "warnings", "ok": not info.warnings, "detail": "; ".join(info.warnings) or "none", "do": "do what they say"},
        {"check": "confinement", "ok": True, "detail": "; ".join(info.confinement) or "no executor", "do": _about(info.confinement)},
    ]


def _about(confinement: list[str]) -> str:
    """What to do about a kernel that confines the executor by less than everything: no fault of the node's, so no failed check."""
    if all(": on" in line for line in confinement):
        return "-"
    return "use a kernel with seccomp and Landlock (Linux 5.13 or later); until then the VM's own checks stand alone where it says off"


@click.command()
@place_options
@json_option
def doctor(directory: Path | None, node: str | None, output: Output) -> int:
    """Check a running node and say what to do about what is wrong; exit status 1 if anything is. A stopped one: `carbonnode verify-store`.

    \b
    Example:
      carbonnode doctor --dir n1
    """
    urls = _urls(directory, node)
    found = findings(asyncio.run(_ask(urls)), time.time_ns() // 1_000_000)
    output.result({"ok": all(row["ok"] for row in found), "checks": found} if output.json else found)
    for row in found:
        if not row["ok"]:
            note(f"error [{row['check']}]: {row['detail']}: {row['do']}")
    return 0 if all(row["ok"] for row in found) else 1
