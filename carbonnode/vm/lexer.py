"""Our own reading of a source's tokens, before anything is parsed.

CPython's tokenizer, parser and compiler have limits and habits that differ between versions (digits of an integer, escapes, nesting, new
keywords), and some of them crash or take quadratic time. What gets past this lexer is small, plain and shallow, so that `ast.parse` gives
the same tree everywhere, and quickly.
"""

import re
from typing import Final

from carbonnode.vm.diagnostics import MAX_DIAGNOSTICS, Diagnostic, Refusal
from carbonnode.vm.limits import (
    MAX_AST_DEPTH,
    MAX_BRACKET_DEPTH,
    MAX_CHAIN,
    MAX_INDENT_DEPTH,
    MAX_INTEGER_DIGITS,
    MAX_NAME_LENGTH,
    MAX_SOURCE_BYTES,
    MAX_STRING_TOKEN,
    MAX_TOKENS,
)
from carbonnode.vm.words import BANNED_WORDS, EXPRESSION_WORDS, STATEMENT_WORDS

_FORBIDDEN: Final = re.compile(r"[^\x20-\x7e\n]")
_TOKEN: Final = re.compile(
    r"""(?P<space>[ ]+)
    |(?P<newline>\n)
    |(?P<comment>\#[^\n]*)
    |(?P<string>[A-Za-z]{0,3}(?:\"\"\"|'''|"|'))
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<number>[0-9][0-9A-Za-z_]*)
    |(?P<op>\*\*=|//=|>>=|<<=|\.\.\.|\*\*|//|>>|<<|<=|>=|==|!=|->|:=|[-+*/%&|^@]=|[-+*/%&|^~<>=()\[\]{},:.;@!?$`\\])""",
    re.VERBOSE,
)
_INTEGER: Final = re.compile(r"0|[1-9](?:_?[0-9])*|0[xX](?:_?[0-9a-fA-F])+|0[oO](?:_?[0-7])+|0[bB](?:_?[01])+")
_ENDS: Final = {
    '"': re.compile(r'(?:[^"\\\n]|\\.)*"'),
    "'": re.compile(r"(?:[^'\\\n]|\\.)*'"),
    '"""': re.compile(r'(?:[^"\\]|\\.|"(?!""))*"""'),
    "'''": re.compile(r"(?:[^'\\]|\\.|'(?!''))*'''"),
}
_ESCAPE: Final = re.compile(r"\\(?:[\\'\"nrt]|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|(?P<bad>[\s\S]?))")

_BANNED_OPERATORS: Final = {
    "/": ("division", "`/` gives a float: write `//`, or `muldiv(a, b, c, rounding)` to round by name"),
    "/=": ("division", "`/=` gives a float: write `//=`"),
    ":=": ("walrus", "`:=` isn't in the dialect: assign on a line of its own"),
    ";": ("semicolon", "one statement a line: write the second one on the next line"),
    "...": ("ellipsis", "`...` isn't in the dialect: write `pass`"),
    "@=": ("operator", "`@=` isn't in the dialect"),
    "\\": ("continuation", "a backslash doesn't continue a line here: put the expression in parentheses"),
}
_OPENERS: Final = {"(": ")", "[": "]", "{": "}"}
_SEPARATORS: Final = frozenset((",", ":", "=", "->", "+=", "-=", "*=", "//=", "%=", "**=", "<<=", ">>=", "&=", "|=", "^="))
_CHAINED: Final = frozenset(("+", "-", "*", "//", "%", "**", "<<", ">>", "&", "|", "^", "~", "<", ">", "<=", ">=", "==", "!=", "."))


def scan(source: bytes) -> tuple[str, list[Diagnostic]]:
    """The source as text, and what its tokens break. Raises `Refusal` where reading on makes no sense."""
    if len(source) > MAX_SOURCE_BYTES:
        raise Refusal(1, 1, "source-size", f"the source has {len(source)} bytes, more than {MAX_SOURCE_BYTES}: split the contract")
    text = source.decode("latin-1")
    found = _FORBIDDEN.search(text)
    if found:
        line, column = _position(text, found.start())
        raise Refusal(line, column, "character", _character_message(found.group()))
    return text, _Scanner(text).run()


def _position(text: str, place: int) -> tuple[int, int]:
    start = text.rfind("\n", 0, place) + 1
    return text.count("\n", 0, place) + 1, place - start + 1


def _character_message(character: str) -> str:
    if character == "\t":
        return "a tab: indent with spaces"
    if character == "\r":
        return "a carriage return: end lines with a plain newline"
    return f"byte {ord(character):#04x} isn't printable ASCII: write other characters in a string as \\u escapes"


class _Scanner:
    """One pass over the tokens, with the nesting they will give the tree."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.line = 1
        self.line_start = 0
        self.tokens = 0
        self.errors: list[Diagnostic] = []
        self.closers: list[str] = []
        self.chains = [0]
        self.conditionals = [0]
        self.indents = [0]
        self.elifs: dict[int, int] = {}
        self.at_line_start = True
        self.previous = ""
        self.before_previous = ""

    def run(self) -> list[Diagnostic]:
        """Read every token."""
        place, text, match = 0, self.text, _TOKEN.match
        while place < len(text):
            found = match(text, place)
            if found is None:
                raise self.refusal(place, "character", f"{text[place]!r} has no meaning here")
            kind, word = found.lastgroup, found.group()
            end = found.end()
            if kind == "newline":
                self.newline(end)
            elif kind not in ("space", "comment"):
                end = self.token(str(kind), word, place, end)
            place = end
        if self.closers:
            raise self.refusal(len(text), "syntax", f"the source ends before a closing {self.closers[-1]!r}")
        return self.errors

    def newline(self, end: int) -> None:
        """A line ends: outside brackets, so does the statement."""
        self.line += 1
        self.line_start = end
        if not self.closers:
            self.at_line_start = True
            self.chains[0] = self.conditionals[0] = 0
            self.previous = self.before_previous = ""

    def token(self, kind: str, word: str, place: int, end: int) -> int:
        """One token; the place behind it."""
        self.tokens += 1
        if self.tokens > MAX_TOKENS:
            raise self.refusal(place, "token-count", f"the source has more than {MAX_TOKENS} tokens: split the contract")
        if self.at_line_start:
            self.indentation(place, word)
        if kind == "string":
            end = self.string(word, place, end)
        elif kind == "name":
            self.name(word, place)
        elif kind == "number":
            self.number(word, place, end)
        else:
            self.operator(word, place, end)
        self.before_previous, self.previous = self.previous, word if kind in ("name", "op") else kind
        return end

    def indentation(self, place: int, word: str) -> None:
        """The first token of a statement: how deep it stands, and how long its chain of elifs is."""
        self.at_line_start = False
        indent = place - self.line_start
        while self.indents[-1] > indent:
            self.elifs.pop(self.indents.pop(), None)
        if self.indents[-1] < indent:
            self.indents.append(indent)
            if len(self.indents) > MAX_INDENT_DEPTH:
                raise self.refusal(place, "depth", f"blocks are nested more than {MAX_INDENT_DEPTH - 1} deep: move the inner ones into functions")
        if word == "elif":
            self.elifs[indent] = self.elifs.get(indent, 0) + 1
            if self.elifs[indent] >= MAX_AST_DEPTH:
                raise self.refusal(place, "depth", "too many `elif` in a row: look the case up in a dict, or split the function")
        elif word != "else":
            self.elifs[indent] = 0

    def string(self, opening: str, place: int, end: int) -> int:
        """A string literal: prefix, length and escapes."""
        quote = opening.lstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
        prefix = opening[: len(opening) - len(quote)]
        found = _ENDS[quote].match(self.text, end, min(len(self.text), end + MAX_STRING_TOKEN + len(quote)))
        if found is None:
            if self.text.find(quote, end) >= 0 and len(self.text) - end > MAX_STRING_TOKEN:
                raise self.refusal(place, "string-size", f"a string literal has at most {MAX_STRING_TOKEN} characters, on one line (or in triple quotes)")
            raise self.refusal(place, "syntax", "a string literal isn't closed")
        if prefix.lower() == "f" or "f" in prefix.lower():
            self.error(place, "f-string", 'an f-string isn\'t in the dialect: write "text" + str(number)')
        elif prefix not in ("", "b"):
            self.error(place, "string-prefix", f"string prefix {prefix!r} isn't in the dialect: write a plain string or b\"...\"")
        else:
            self.escapes(self.text[end : found.end()], prefix == "b", place)
        whole = self.text[place : found.end()]
        breaks = whole.count("\n")
        if breaks:
            self.line += breaks
            self.line_start = place + whole.rfind("\n") + 1
        return found.end()

    def escapes(self, body: str, is_bytes: bool, place: int) -> None:
        """The escapes of a literal: a fixed list, because CPython's grows, and its warnings change."""
        if "\\" not in body:
            return
        for found in _ESCAPE.finditer(body):
            escape = found.group()
            if found.group("bad") is not None or (is_bytes and escape[1] in "uU"):
                self.error(place, "escape", f"escape {escape!r} isn't in the dialect: use \\\\ \\' \\\" \\n \\r \\t \\xHH, and in text \\uHHHH \\UHHHHHHHH")
            elif escape[1] in "uU":
                point = int(escape.lstrip("\\uU"), base=16)
                if point > 0x10FFFF or 0xD800 <= point <= 0xDFFF:
                    self.error(place, "escape", f"{escape} isn't a character that UTF-8 can hold")

    def name(self, word: str, place: int) -> None:
        """An identifier or keyword."""
        if len(word) > MAX_NAME_LENGTH:
            raise self.refusal(place, "name-size", f"a name may be at most {MAX_NAME_LENGTH} characters")
        if word.startswith("_"):
            self.error(place, "underscore", f"{word!r}: names that start with `_` belong to the VM: choose another")
        elif word in BANNED_WORDS:
            rule, remedy = BANNED_WORDS[word]
            self.error(place, rule, remedy)
        elif self.previous == "type" and self.before_previous in ("", ":") and not self.closers:
            self.error(place, "statement", "a `type` statement isn't in the dialect: annotations are bare names, int, str, bytes, bool, tuple, list, dict")
        if word in ("if", "else") and self.previous != "":
            self.deepen(self.conditionals, place)
        elif word in ("and", "or"):
            self.chains[-1] = 0
        elif word in EXPRESSION_WORDS:
            self.deepen(self.chains, place)

    def number(self, word: str, place: int, end: int) -> None:
        """An integer literal; everything else that starts with a digit is refused."""
        if self.text[end : end + 1] == "." or re.fullmatch(r"[0-9][0-9_]*(?:[eE][0-9_]*|[jJ])", word):
            self.error(place, "float", "floats aren't in the dialect: count in the smallest unit (fen, tonnes) with integers")
        elif len(word) > MAX_INTEGER_DIGITS:
            raise self.refusal(place, "integer-size", f"an integer literal may have at most {MAX_INTEGER_DIGITS} digits")
        elif not _INTEGER.fullmatch(word):
            self.error(place, "number", f"{word!r} isn't an integer literal: no leading zeros, and a space before a following word")

    def operator(self, word: str, place: int, end: int) -> None:
        """An operator or bracket."""
        banned = _BANNED_OPERATORS.get(word)
        if banned:
            self.error(place, *banned)
        elif word in "!?$`":
            raise self.refusal(place, "character", f"{word!r} has no meaning here")
        elif word == "@" and self.previous:
            self.error(place, "operator", "`@` stands before a decorator only: matrices aren't in the dialect")
        elif word == "." and self.text[end : end + 1].isdigit():
            self.error(place, "float", "floats aren't in the dialect: count in the smallest unit with integers")
        elif word in _OPENERS:
            self.open(word, place)
        elif word in ")]}":
            if not self.closers or self.closers.pop() != word:
                raise self.refusal(place, "syntax", f"{word!r} closes nothing that is open")
            self.chains.pop()
            self.conditionals.pop()
        elif word in _SEPARATORS:
            self.chains[-1] = self.conditionals[-1] = 0
        elif word in _CHAINED:
            self.deepen(self.chains, place)

    def open(self, word: str, place: int) -> None:
        """An opening bracket; behind an operand it is a call or a subscript, one more link of a chain."""
        if word == "[" and self.before_previous == "def":
            self.error(place, "parameters", "a function has no type parameters here: leave the brackets out")
        if self.previous and self.previous not in STATEMENT_WORDS and (self.previous[-1].isalnum() or self.previous[-1] in "_)]}"):
            self.deepen(self.chains, place)
        self.closers.append(_OPENERS[word])
        if len(self.closers) > MAX_BRACKET_DEPTH:
            raise self.refusal(place, "depth", f"brackets are nested more than {MAX_BRACKET_DEPTH} deep: use intermediate names")
        self.chains.append(0)
        self.conditionals.append(0)

    def deepen(self, counters: list[int], place: int) -> None:
        """One more link of a chain at this bracket level."""
        counters[-1] += 1
        if counters[-1] > MAX_CHAIN or sum(self.chains) + sum(self.conditionals) > 2 * MAX_CHAIN:
            raise self.refusal(place, "depth", "the expression is too long: split it over several names, or loop")

    def error(self, place: int, rule: str, message: str) -> None:
        """Note a refusal and read on."""
        if len(self.errors) < MAX_DIAGNOSTICS:
            self.errors.append(Diagnostic(self.line, place - self.line_start + 1, rule, message))

    def refusal(self, place: int, rule: str, message: str) -> Refusal:
        """A refusal to raise: nothing behind it is read."""
        return Refusal(self.line, place - self.line_start + 1, rule, message)
