"""The words of the dialect: keywords that are refused, and what every built-in name and method takes."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from carbonnode.vm.program import Type


def _banned(rule: str, remedy: str, *words: str) -> dict[str, tuple[str, str]]:
    return {word: (rule, f"`{word}` isn't in the dialect: {remedy}") for word in words}


BANNED_WORDS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        **_banned("class", "keep records as tuples or dicts", "class"),
        **_banned("lambda", "write a function at module level and call it", "lambda"),
        **_banned("generator", "return a list", "yield"),
        **_banned("exception", "use `require(condition, code)`, and `try_call` for what may fail", "try", "except", "finally"),
        **_banned("exception", "use `abort(code)`", "raise"),
        **_banned("assert", "use `require(condition, code)`", "assert"),
        **_banned("import", 'contracts call one another with `call("name", "method", ...)`', "import", "from"),
        **_banned("with", "there are no resources to close", "with"),
        **_banned("async", "contracts run one call at a time", "async", "await"),
        **_banned("scope", "keep state in a `Var` or `Map`, pass and return the rest", "global", "nonlocal"),
    }
)
EXPRESSION_WORDS: Final = frozenset(("not", "in", "is"))
STATEMENT_WORDS: Final = frozenset(
    ("if", "elif", "else", "while", "for", "in", "is", "not", "and", "or", "return", "del", "pass", "break", "continue")
)

DECORATORS: Final = frozenset(("export", "view", "init"))
TYPE_NAMES: Final[Mapping[str, Type]] = MappingProxyType({kind.value: kind for kind in Type if kind not in (Type.ANY, Type.NONE)})
CONTEXT: Final[Mapping[str, Type]] = MappingProxyType(
    {
        "sender": Type.BYTES,
        "caller": Type.STR,
        "self": Type.STR,
        "time": Type.INT,
        "height": Type.INT,
        "chain": Type.BYTES,
    }
)
ROUNDINGS: Final = ("floor", "ceil", "down", "up", "half_up", "half_down", "half_even")


class Takes(NamedTuple):
    """How many arguments a built-in or method takes, and what it returns."""

    least: int
    most: int
    returns: Type
    writes: bool = False
    scans: bool = False
    """Its work grows with its argument: the built-in itself charges by size."""


BUILTINS: Final[Mapping[str, Takes]] = MappingProxyType(
    {
        "len": Takes(1, 1, Type.INT),
        "range": Takes(1, 3, Type.LIST),
        "enumerate": Takes(1, 1, Type.LIST),
        "min": Takes(1, 8, Type.ANY, scans=True),
        "max": Takes(1, 8, Type.ANY, scans=True),
        "abs": Takes(1, 1, Type.INT),
        "sum": Takes(1, 1, Type.INT, scans=True),
        "sorted": Takes(1, 1, Type.LIST, scans=True),
        "int": Takes(1, 1, Type.INT),
        "str": Takes(1, 1, Type.STR),
        "bool": Takes(1, 1, Type.BOOL),
        "list": Takes(0, 1, Type.LIST, scans=True),
        "tuple": Takes(1, 1, Type.TUPLE, scans=True),
        "abort": Takes(1, 1, Type.NONE),
        "require": Takes(2, 2, Type.NONE),
        "emit": Takes(1, 1, Type.NONE, writes=True),
        "call": Takes(2, 18, Type.ANY),
        "try_call": Takes(2, 18, Type.TUPLE),
        "schedule": Takes(3, 3, Type.NONE, writes=True),
        "hash": Takes(1, 1, Type.BYTES, scans=True),
        "verify_signature": Takes(3, 3, Type.BOOL, scans=True),
        "muldiv": Takes(4, 4, Type.INT),
        "fixed_exp": Takes(4, 4, Type.INT),
        "fixed_pow": Takes(6, 6, Type.INT),
    }
)

METHODS: Final[Mapping[str, Takes]] = MappingProxyType(
    {
        "append": Takes(1, 1, Type.NONE),
        "insert": Takes(2, 2, Type.NONE),
        "extend": Takes(1, 1, Type.NONE, scans=True),
        "pop": Takes(0, 2, Type.ANY),
        "get": Takes(1, 2, Type.ANY),
        "keys": Takes(0, 0, Type.LIST, scans=True),
        "items": Takes(0, 0, Type.LIST, scans=True),
        "values": Takes(0, 0, Type.LIST, scans=True),
        "join": Takes(1, 1, Type.STR, scans=True),
        "split": Takes(1, 1, Type.LIST, scans=True),
        "startswith": Takes(1, 1, Type.BOOL),
        "endswith": Takes(1, 1, Type.BOOL),
        "strip": Takes(0, 1, Type.STR, scans=True),
        "upper": Takes(0, 0, Type.STR, scans=True),
        "lower": Takes(0, 0, Type.STR, scans=True),
        "find": Takes(1, 1, Type.INT, scans=True),
        "encode": Takes(0, 0, Type.BYTES, scans=True),
        "hex": Takes(0, 0, Type.STR, scans=True),
        "decode": Takes(0, 0, Type.STR, scans=True),
    }
)
STORAGE_METHODS: Final = frozenset(("get", "set", "next", "prev"))
"""Methods of a `Map` are `get`, `next` and `prev`; of a `Var` `get` and `set`."""

RESERVED: Final = frozenset(("ctx", "Map", "Var", "bytes", "dict")) | DECORATORS | frozenset(BUILTINS)
"""Names that a contract may not give to anything of its own."""
