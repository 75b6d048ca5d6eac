"""Voucher codes off the chain: parse and check them by the contract `voucher` itself."""

from typing import Any

from carbonnode import resources
from carbonnode.errors import ContractError
from carbonnode.local.chain import LocalChain, LocalRefusal

FIELDS = ("version", "type", "venue", "date", "time", "instrument", "vintage", "number", "part", "check")
TYPES = {
    "T": "trade",
    "B": "block deal",
    "A": "auction",
    "S": "surrender",
    "R": "voluntary cancellation",
    "I": "issue",
    "K": "carry-over",
    "P": "pledge",
    "F": "freeze",
    "C": "carbon consumption",
    "X": "correction",
}
PARTS = ("whole", "buyer's part", "seller's part")
_GROUPS = (2, 4, 8, 6, 5, 8, 1, 2)
WRONG = {
    "VOUCHER-LENGTH": "a code has 36 characters besides hyphens",
    "VOUCHER-CHARACTER": "a code is made of 0-9 and A-Z",
    "VOUCHER-VERSION": "the grammar's version is 1",
    "VOUCHER-TYPE": "the type is one of " + ", ".join(f"{key} ({name})" for key, name in TYPES.items()),
    "VOUCHER-CHECK": "the check characters don't fit: a character is wrong or two are swapped",
    "VOUCHER-DIGITS": "date, time, vintage, number and part are digits",
    "VOUCHER-LETTERS": "country and instrument are letters",
    "VOUCHER-DATE": "the date is no day of the calendar",
    "VOUCHER-TIME": "the time is no time of day",
    "VOUCHER-NUMBER": "numbers of a day start at 1",
    "VOUCHER-PART": "the part is 0 (whole), 1 (buyer's) or 2 (seller's)",
}


class VoucherReader:
    """The contract `voucher` on an empty state: knows the grammar, no records."""

    def __init__(self) -> None:
        self.chain = LocalChain()
        for name in ("rules", "voucher"):
            self.chain.deploy(name, resources.contract_source(name))

    def parse(self, code: str) -> dict[str, Any]:
        """The fields of a code. Raises `ContractError` (code `VOUCHER-...`) naming the field that is wrong."""
        plain = code.strip().upper()
        if not plain.isascii() or len(plain) > 100:
            raise ContractError(f"{code!r} is no voucher code: {WRONG['VOUCHER-CHARACTER']}", code="VOUCHER-CHARACTER")
        try:
            values = self.chain.view("voucher", "parse", plain)
        except LocalRefusal as refusal:
            raise ContractError(f"{code} is no voucher code: {WRONG.get(refusal.code, refusal.code)}", code=refusal.code) from None
        assert isinstance(values, tuple)
        found: dict[str, Any] = dict(zip(FIELDS, values, strict=True))
        found["type_name"] = TYPES[found["type"]]
        found["part_name"] = PARTS[found["part"]]
        return {"code": "".join(plain.split("-")), "display": display(plain)} | found

    def check(self, code: str) -> dict[str, Any]:
        """Whether a code is well formed: {"ok": True, "code", "display"}, or {"ok": False, "code", "error", "message"}."""
        try:
            parsed = self.parse(code)
        except ContractError as error:
            return {"ok": False, "code": code, "error": error.code, "message": str(error)}
        return {"ok": True, "code": parsed["code"], "display": parsed["display"]}


def display(code: str) -> str:
    """A code with hyphens between its groups."""
    plain = "".join(code.split("-"))
    parts, place = [], 0
    for size in _GROUPS:
        parts.append(plain[place : place + size])
        place += size
    return "-".join(parts)


def parse(code: str) -> dict[str, Any]:
    """The fields of one code. Raises `ContractError`."""
    return VoucherReader().parse(code)


def check(code: str) -> dict[str, Any]:
    """Whether one code is well formed."""
    return VoucherReader().check(code)
