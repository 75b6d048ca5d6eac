"""Arguments of contract methods by name: from text (`--arg k=v`, query strings) or JSON to the positional values that a call carries.

Refusals name the method, the argument and its type, and suggest the nearest name for a misspelt one.
"""

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from carbonnode.chain.genesis import value_from_json
from carbonnode.chain.service import ContractAbi, MethodAbi
from carbonnode.chain.values import INT_LIMIT, Value
from carbonnode.errors import ContractError

_TYPES: dict[str, type] = {"int": int, "str": str, "bytes": bytes, "bool": bool, "tuple": tuple}
_INTEGER = re.compile(r"[+-]?[0-9]+(_[0-9]+)*")
_MAX_DIGITS = 100
_MAX_SHOWN = 80
_EXAMPLES = {
    "int": "an integer such as 1000 or -5",
    "bytes": "hex such as 0x00ff",
    "bool": "true or false",
    "tuple": 'a JSON list such as [1, "a", {"hex": "00ff"}]',
    "str": "text",
}


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """` (did you mean x?)` for a misspelt word, or "" where nothing known is near."""
    near = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean {near[0]}?)" if near else ""


def find_method(abi: ContractAbi, name: str, kind: str) -> MethodAbi:
    """The export or view `name`. Raises `ContractError` (code `unknown-method`) that lists what there is."""
    found = abi.method(name, kind)
    if found is not None:
        return found
    other = abi.method(name)
    if other is not None:
        how = {"export": "send it as a transaction (tx call)", "view": "query it", "init": "it ran once, at installation"}.get(other.kind, "")
        raise ContractError(f"{abi.name}.{name} is no {kind} but a method of kind {other.kind}: {how}", code="unknown-method")
    names = [method.name for method in abi.methods if method.kind == kind]
    hint = did_you_mean(name, names)
    raise ContractError(f"contract {abi.name} has no {kind} {name!r}{hint}: it has {', '.join(names) or 'none'}", code="unknown-method")


def parse_text(kind: str, text: str, where: str) -> Value:
    """A value of the type named `kind` from text. Raises `ContractError` (code `bad-argument`) that names `where` and shows the form."""
    try:
        return _parse(kind, text)
    except (ValueError, RecursionError, msgspec.DecodeError):
        raise ContractError(f"{where}: {_short(text)} is no {kind}: give {_EXAMPLES.get(kind, kind)}", code="bad-argument") from None


def _parse(kind: str, text: str) -> Value:
    if kind == "int":
        if not _INTEGER.fullmatch(text) or len(text) > _MAX_DIGITS or abs(number := int(text)) > INT_LIMIT:
            raise ValueError(text)
        return number
    if kind == "bool":
        return {"true": True, "false": False}[text.lower()] if text.lower() in ("true", "false") else _refuse(text)
    if kind == "bytes":
        return bytes.fromhex(text[2:] if text[:2] in ("0x", "0X") else text)
    if kind == "tuple":
        items = value_from_json(msgspec.json.decode(text))
        return items if isinstance(items, tuple) else _refuse(text)
    return text


def _refuse(text: str) -> Value:
    raise ValueError(text)


def split_pairs(pairs: Iterable[str]) -> dict[str, str]:
    """`k=v` texts to a mapping. Raises `ContractError` (code `bad-argument`) on a missing `=` or a repeated name."""
    named: dict[str, str] = {}
    for pair in pairs:
        name, separator, text = pair.partition("=")
        if not separator or not name:
            raise ContractError(f"argument {pair!r} isn't of the form name=value", code="bad-argument")
        if name in named:
            raise ContractError(f"argument {name} is given twice: give it once", code="bad-argument")
        named[name] = text
    return named


def bind_text(contract: str, method: MethodAbi, named: Mapping[str, str]) -> tuple[Value, ...]:
    """Positional values from texts by name. Raises `ContractError` (code `bad-argument`)."""
    _check_names(contract, method, named)
    return tuple(parse_text(kind, named[name], f"{contract}.{method.name}: argument {name}") for name, kind in method.parameters)


def bind_json(contract: str, method: MethodAbi, given: Mapping[str, Any] | list[Any]) -> tuple[Value, ...]:
    """Positional values from JSON, by name (object) or by place (list), types checked. Raises `ContractError` (code `bad-argument`)."""
    if isinstance(given, list):
        if len(given) != len(method.parameters):
            raise ContractError(f"{signature(contract, method)} takes {len(method.parameters)} arguments, {len(given)} given", code="bad-argument")
        given = {name: item for (name, _), item in zip(method.parameters, given, strict=True)}
    _check_names(contract, method, given)
    return tuple(_from_json(kind, given[name], f"{contract}.{method.name}: argument {name}") for name, kind in method.parameters)


def _from_json(kind: str, item: Any, where: str) -> Value:
    expected = _TYPES.get(kind)
    try:
        value = bytes.fromhex(item.removeprefix("0x")) if expected is bytes and isinstance(item, str) else value_from_json(item)
    except (ValueError, RecursionError):
        raise ContractError(f"{where}: {_short(item)} is no {kind}: give {_EXAMPLES.get(kind, kind)}", code="bad-argument") from None
    if expected is not None and type(value) is not expected:
        raise ContractError(f"{where}: {_short(item)} is no {kind}: give {_EXAMPLES[kind]}", code="bad-argument")
    return value


def _short(item: Any) -> str:
    """What was given, in a message: cut where it is long, unseen where it is nested."""
    if isinstance(item, list | dict):
        return f"a JSON {'list' if isinstance(item, list) else 'object'}"
    shown = repr(item)
    return shown if len(shown) <= _MAX_SHOWN else f"{shown[:_MAX_SHOWN]}..."


def _check_names(contract: str, method: MethodAbi, named: Mapping[str, Any]) -> None:
    known = [name for name, _ in method.parameters]
    for name in named:
        if name not in known:
            raise ContractError(f"{signature(contract, method)} has no argument {name!r}{did_you_mean(name, known)}", code="bad-argument")
    missing = [name for name in known if name not in named]
    if missing:
        raise ContractError(f"{signature(contract, method)} also needs {', '.join(missing)}", code="bad-argument")


def signature(contract: str, method: MethodAbi) -> str:
    """`contract.method(name: type, ...)`, for people."""
    return f"{contract}.{method.name}({', '.join(f'{name}: {kind}' for name, kind in method.parameters)})"
