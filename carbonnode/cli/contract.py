"""`carbonnode contract`: check, run, test and profile contract files on a local state; show the installed ones."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from carbonnode.cli.deploy import deploy, rollback
from carbonnode.cli.groups import SuggestingGroup
from carbonnode.cli.output import Output, note
from carbonnode.cli.session import json_option, node_option, with_client
from carbonnode.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from carbonnode.client import Client

F = TypeVar("F", bound=Callable[..., Any])
SOURCE = click.Path(dir_okay=False, path_type=Path)


@click.group(cls=SuggestingGroup)
def contract() -> None:
    """Check, run, test and profile contracts; show the installed ones. The dialect: docs/contracts.md.

    \b
    Example:
      carbonnode contract check counter.py
    """


@contract.command("check")
@click.argument("file", type=SOURCE)
@json_option
def check(file: Path, output: Output) -> int:
    """Check FILE against the dialect; every refusal names line, column, rule, and what to write instead. Exit status 1 if there is one.

    \b
    Example:
      carbonnode contract check counter.py
    """
    from carbonnode.local import contract_tools

    report = contract_tools.check(file)
    output.result(report, lambda console: console.print(f"{file}: {'accepted' if report['ok'] else 'refused'}", markup=False))
    for error in report["errors"]:
        note(f"{file}:{error['line']}:{error['column']}: [{error['rule']}] {error['message']}")
    return 0 if report["ok"] else 1


def _json_list(text: str | None, option: str) -> list[Any]:
    import msgspec

    if text is None:
        return []
    try:
        return msgspec.json.decode(text, type=list[Any])
    except (msgspec.DecodeError, UnicodeError) as error:
        raise ConfigError(f"{option} is no JSON list: {error}: write it like '[1, \"text\"]'") from None
    except RecursionError:
        raise ConfigError(f"{option} is nested too deep: a contract takes tuples of tuples at most") from None


def local_call(*, least_gas: int) -> Callable[[F], F]:
    """FILES and the options of a call on a fresh local state. The command gets `call`: the arguments of `contract_tools.run` and `gas`."""
    options = (
        click.argument("files", nargs=-1, required=True, type=SOURCE),
        click.option("--method", required=True, metavar="M", help="An export or view of the first file, or CONTRACT.METHOD."),
        click.option("--args", "args", metavar="JSON_LIST", help='Arguments; bytes as {"hex": "00ff"}.'),
        click.option("--init-args", "init_args", metavar="JSON_LIST", help="Arguments of its @init."),
        click.option("--sender", default="", metavar="S", help="The sender's key: 64 hex digits, or any name."),
        click.option("--time", "time_ms", type=click.IntRange(min=0), metavar="MS", help="Market time in ms."),
        click.option("--gas", type=click.IntRange(min=least_gas), default=1_000_000, show_default=True, metavar="N", help="Gas limit."),
    )

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def wrapped(
            *, files: tuple[Path, ...], method: str, args: str | None, init_args: str | None, sender: str, time_ms: int | None, gas: int, **more: Any
        ) -> Any:
            call: dict[str, Any] = {"paths": files, "method": method, "sender": sender, "gas": gas}
            call |= {"args": _json_list(args, "--args"), "init_args": _json_list(init_args, "--init-args")}
            return function(call=call if time_ms is None else call | {"time_ms": time_ms}, **more)

        return functools.reduce(lambda done, option: option(done), reversed(options), wrapped)  # type: ignore[return-value]

    return decorate


@contract.command("run")
@local_call(least_gas=1)
@json_option
def run(call: dict[str, Any], output: Output) -> int:
    """Install FILES on a fresh local state and run a method; any outcome exits 0.

    \b
    Example:
      carbonnode contract run counter.py --method add --args '[5]'
    """
    from carbonnode.local import contract_tools

    output.result(contract_tools.run(**call))
    return 0


def _shorten(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 3] + "..."


@contract.command("gas")
@local_call(least_gas=200)
@json_option
def gas_(call: dict[str, Any], output: Output) -> int:
    """Run a method as `contract run` does, and show which line uses how much gas.

    \b
    Example:
      carbonnode contract gas till.py --init-args '["ann", 500]' --method transfer --args '["ann", "bob", 20]'
    """
    from carbonnode.local import contract_tools

    found = contract_tools.gas(**call)

    def render(console: "Console") -> None:
        from carbonnode.cli.output import rows

        where = len({line["contract"] for line in found["lines"]}) > 1
        names = [f"{line['contract']}:{line['line']}" if where else str(line["line"]) for line in found["lines"]]
        room = max(20, console.width - 34 - max(map(len, names), default=0))
        body = [
            (name, line["gas"], f"{line['share']:5.1f} %", line["count"], _shorten(line["source"], room))
            for name, line in zip(names, found["lines"], strict=True)
        ]
        console.print(rows(("line", "gas", "share", "count", "source"), body))
        console.print(f"{found['outcome']} {found['code']}".strip(), markup=False)
        console.print(f"{found['gas_used']:,} gas: {found['outside']:,} of them for the transaction and for entering methods", markup=False)
        if found["forfeited"]:
            console.print(f"{found['forfeited']:,} of them not used, but forfeited: a failure takes the whole limit", markup=False)

    output.result(found, render)
    return 0


@contract.command("test")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@click.option("-k", "select", default="", metavar="WORDS", help="Only tests whose names match, as of pytest -k.")
@json_option
def test(paths: tuple[Path, ...], select: str, output: Output) -> int:
    """Run an author's tests (test_*.py, pytest) with our fixtures, on a chain in memory; no network is needed. Exit status 1 if one fails.

    The fixtures: `deploy`, `local_chain`, `local_market` (docs/contracts.md). Needs pytest: pip install 'carbonnode[test]'.

    \b
    Example:
      carbonnode contract test
      carbonnode contract test tests/test_till.py -k money
    """
    from carbonnode.local.contract_test import run_tests

    found = run_tests(paths or (Path(),), select=select)
    output.result(found, lambda console: console.print(f"{found['passed']} passed, {found['failed']} failed, {found['skipped']} skipped", markup=False))
    return 0 if found["ok"] else 1


@contract.command("new")
@click.argument("name")
@click.option("--dir", "directory", type=click.Path(file_okay=False, path_type=Path), default=Path(), help="Where to write; the working directory.")
@json_option
def new(name: str, directory: Path, output: Output) -> int:
    """Write a first contract NAME.py and its test test_NAME.py; files that exist are never overwritten.

    \b
    Example:
      carbonnode contract new pool
      carbonnode contract test test_pool.py
    """
    from carbonnode.local.contract_new import write

    output.result({"written": [str(path) for path in write(name, directory)]})
    return 0


@contract.command("list")
@node_option
@json_option
def installed(node: str | None, output: Output) -> int:
    """The contracts installed on the chain, with version and source hash.

    \b
    Example:
      carbonnode contract list
    """

    async def work(client: "Client") -> list[dict[str, Any]]:
        abis = [await client.abi(name) for name in await client.contracts()]
        return [{"contract": abi.name, "version": abi.version, "source_hash": abi.source_hash.hex()} for abi in abis]

    output.result(with_client(node, work))
    return 0


@contract.command("show")
@click.argument("name")
@node_option
@json_option
def show(name: str, node: str | None, output: Output) -> int:
    """The methods of an installed contract: exports (transactions) and views, with their parameters.

    \b
    Example:
      carbonnode contract show matching
    """
    from carbonnode.cli.tx import abi_of

    async def work(client: "Client") -> Any:
        return await abi_of(client, name)

    abi = with_client(node, work)
    rows = [{"kind": m.kind, "method": m.name, "parameters": ", ".join(f"{p}: {kind}" for p, kind in m.parameters), "returns": m.returns} for m in abi.methods]
    output.result(rows)
    return 0


contract.add_command(deploy)
contract.add_command(rollback)
