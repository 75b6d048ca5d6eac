"""The back ends of `carbonnode contract check`, `contract run` and `contract gas`: plain dicts for the command line."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from carbonnode.chain.genesis import value_from_json, value_to_json
from carbonnode.chain.transaction import Call
from carbonnode.chain.values import Value
from carbonnode.errors import ConfigError
from carbonnode.local import gas_profile
from carbonnode.local.chain import DEFAULT_TIME_MS, LocalChain, LocalRefusal, key_of
from carbonnode.vm.checker import check as check_source
from carbonnode.vm.contract import ContractRefused, is_contract_name
from carbonnode.vm.diagnostics import Diagnostic
from carbonnode.vm.keys import decode_parts
from carbonnode.vm.outcome import Outcome
from carbonnode.vm.state import ABSENT

DEFAULT_GAS: Final = 1_000_000
_MOST_READ: Final = 1 << 24


def read_source(path: Path) -> bytes:
    """A contract file's bytes. Raises `ConfigError` naming it."""
    try:
        # What isn't a source may have no end, as a device has not.
        with path.open("rb") as source:
            return source.read(_MOST_READ)
    except OSError as error:
        raise ConfigError(f"{path}: can't be read: {error.strerror}") from None


def check(path: Path) -> dict[str, Any]:
    """{"ok", "errors": [{"line", "column", "rule", "message"}]} of a contract file."""
    report = check_source(read_source(path))
    return {"ok": not report.errors, "errors": [_shown(error) for error in report.errors]}


def run(
    paths: Sequence[Path],
    method: str,
    *,
    args: Sequence[Any] = (),
    init_args: Sequence[Any] = (),
    sender: str = "",
    time_ms: int = DEFAULT_TIME_MS,
    gas: int = DEFAULT_GAS,
) -> dict[str, Any]:
    """Install the files on a fresh state (contract name = file name) and run a method of the first, or `contract.method`.

    `args` and `init_args` are JSON values ({"hex": "..."} for bytes); `init_args` go to the `@init` of the contract that is run. `sender` is
    64 hex digits or any name. A source that the checker refuses is the outcome REJECT with the rule as code and the diagnostics in `errors`.
    """
    target, name = _called(paths, method)
    values, init_values = _values(args, "--args"), _values(init_args, "--init-args")
    chain = LocalChain(time_ms)
    started = time.perf_counter()
    try:
        # The contract that is run comes last: its @init may call the others.
        for path in sorted(paths, key=lambda p: contract_name(p) == target):
            mine = contract_name(path) == target
            chain.deploy(contract_name(path), read_source(path), init_values if mine else (), gas=gas)
    except ContractRefused as refused:
        return _result("REJECT", None, refused.errors[0].rule, 0, started, []) | {"errors": [_shown(error) for error in refused.errors]}
    except LocalRefusal as refusal:
        return _from(refusal.outcome, started, [])
    mark = chain.state.mark()
    before = dict(chain.state.data)
    started = time.perf_counter()
    outcome = chain.execute((Call(target, name, values),), sender=_sender(sender), gas=gas)
    if outcome.code == "vm.no-method" and target in chain.contracts and chain.contracts[target].abi.method(name) is not None:
        outcome = chain.answer(target, name, values, sender=_sender(sender), gas=gas)
    ended = _from(outcome, started, [])
    ended["changes"] = _changes(chain, before, mark)
    return ended | {"writes": len(ended["changes"]), "events": [_event(e) for e in outcome.events]}


def gas(
    paths: Sequence[Path],
    method: str,
    *,
    args: Sequence[Any] = (),
    init_args: Sequence[Any] = (),
    sender: str = "",
    time_ms: int = DEFAULT_TIME_MS,
    gas: int = DEFAULT_GAS,
) -> dict[str, Any]:
    """Where the gas of a run goes, line by line; the arguments are those of `run`.

    {"outcome", "code", "gas_used", "outside", "forfeited", "lines": [{"contract", "line", "gas", "share", "count", "source"}]}: `gas_used` is the sum of
    the others. Raises `ContractRefused` for a source, `LocalRefusal` for a failing `@init`.
    """
    target, name = _called(paths, method)
    values, init_values = _values(args, "--args"), _values(init_args, "--init-args")
    chain, contracts = LocalChain(time_ms), {}
    for path in sorted(paths, key=lambda p: contract_name(p) == target):
        own = contract_name(path)
        contracts[own] = gas_profile.install(chain, own, read_source(path), init_values if own == target else (), gas)
    found = gas_profile.profile(chain, contracts, Call(target, name, values), sender=_sender(sender), gas=gas)
    lines = [{field: getattr(line, field) for field in ("contract", "line", "gas", "share", "count", "source")} for line in found.lines]
    outcome = found.outcome
    head = {"outcome": outcome.status.name, "code": outcome.code, "gas_used": outcome.gas_used}
    return head | {"outside": found.outside, "forfeited": found.forfeited, "lines": lines}


def require_name(name: str) -> None:
    """Raises `ConfigError` for a name that no contract can have."""
    if not is_contract_name(name):
        raise ConfigError(f"{name!r} can't be a contract's name: use a-z, 0-9 and _, a letter first, at most 64 of them")


def contract_name(path: Path) -> str:
    """The name under which a file is installed: that of the file, made a contract's name."""
    return "".join(c if c.isascii() and (c.isalnum() or c == "_") else "_" for c in path.stem.lower()).lstrip("0123456789_") or "contract"


def _called(paths: Sequence[Path], method: str) -> tuple[str, str]:
    """Contract and method that `method` names: the first file's, or those of `contract.method`. Raises `ConfigError`."""
    if not paths:
        raise ConfigError("there is nothing to run: give at least one contract file")
    installed: dict[str, Path] = {}
    for path in paths:
        other = installed.setdefault(contract_name(path), path)
        if other is not path:
            raise ConfigError(f"{other} and {path} would both be the contract {contract_name(path)}: give each file once, under a name of its own")
    target, _, name = method.rpartition(".")
    if target and target not in installed:
        raise ConfigError(f"--method {method}: there is no contract {target!r} among the files: they are {', '.join(installed)}")
    return target or contract_name(paths[0]), name


def _values(given: Sequence[Any], option: str) -> tuple[Value, ...]:
    if not isinstance(given, list | tuple):
        raise ConfigError(f'{option} must be a JSON list, such as [1, "text", true]')
    try:
        return tuple(value_from_json(item) for item in given)
    except ValueError as error:
        raise ConfigError(f"{option}: {error}") from None


def _sender(text: str) -> bytes:
    if not text:
        return bytes(32)
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        raw = b""
    try:
        return raw if len(raw) == 32 else key_of(text)
    except UnicodeEncodeError:
        raise ConfigError("--sender isn't text in UTF-8: give a name, or a key as 64 hexadecimal digits") from None


def _from(outcome: Outcome, started: float, changes: list[dict[str, Any]]) -> dict[str, Any]:
    value = outcome.values[0] if outcome.values else None
    return _result(outcome.status.name, value, outcome.code, outcome.gas_used, started, changes) | ({"where": outcome.where} if outcome.where else {})


def _result(outcome: str, value: Value, code: str, gas: int, started: float, changes: list[dict[str, Any]]) -> dict[str, Any]:
    elapsed = round((time.perf_counter() - started) * 1000, 3)
    found = {"outcome": outcome, "value": value_to_json(value), "code": code, "gas_used": gas, "elapsed_ms": elapsed, "writes": len(changes)}
    return found | {"changes": changes, "events": []}


def _changes(chain: LocalChain, before: dict[bytes, Value], mark: int) -> list[dict[str, Any]]:
    found = []
    for key in chain.state.changed_keys(mark):
        value = chain.state.get(key)
        if value == before.get(key, ABSENT):
            continue
        contract, storage, parts = key[2:].split(b"\0", 2)
        shown: dict[str, Any] = {"contract": contract.decode(), "storage": storage.decode(), "key": [value_to_json(p) for p in decode_parts(parts)]}
        found.append(shown | ({"deleted": True} if value is ABSENT else {"value": value_to_json(value)}))
    return found


def _event(event: Any) -> dict[str, Any]:
    return {"contract": event.contract, "name": event.name, "fields": {name: value_to_json(value) for name, value in event.fields}}


def _shown(error: Diagnostic) -> dict[str, Any]:
    return {"line": error.line, "column": error.column, "rule": error.rule, "message": error.message}
