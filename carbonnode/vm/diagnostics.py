"""What the checker says about a source."""

from dataclasses import dataclass
from typing import Final

MAX_DIAGNOSTICS: Final = 50
"""More than these aren't collected: the first ones are what an author acts on."""


@dataclass(frozen=True, order=True, slots=True)
class Diagnostic:
    """One refusal. `line` and `column` count from 1; `rule` is stable; `message` says what is wrong and what to write instead."""

    line: int
    column: int
    rule: str
    message: str

    def __str__(self) -> str:
        return f"{self.line}:{self.column}: {self.rule}: {self.message}"


@dataclass(frozen=True, slots=True)
class CheckReport:
    """The checker's verdict: accepted if there is no error. Errors stand in the order of the source."""

    errors: tuple[Diagnostic, ...]

    @property
    def ok(self) -> bool:
        """Whether the source is accepted."""
        return not self.errors


class Refusal(Exception):
    """Stops the checker where going on makes no sense (a limit, or a source that doesn't parse). Never leaves `check`."""

    def __init__(self, line: int, column: int, rule: str, message: str) -> None:
        super().__init__(message)
        self.diagnostic = Diagnostic(line, column, rule, message)
