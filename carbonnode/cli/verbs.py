"""Business verbs: each a contract call or a view under the name people guess, with an option for every parameter of the shipped contract.

The parameters' names and types are read from the contract's source, so that a verb can't disagree with it; values are bound by the interface
that the node gives, as in `tx call` and `query`.
"""

import ast
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from carbonnode.cli.groups import SuggestingGroup
from carbonnode.cli.output import Output
from carbonnode.cli.session import gas_options, json_option, node_option, open_wallet, signer_options, with_client
from carbonnode.resources import contract_source

if TYPE_CHECKING:
    from carbonnode.cli.tx import Sent
    from carbonnode.client import Client, QueryAnswer


class Verb(NamedTuple):
    """A verb: its name, the method behind it, and for a view the names of what it returns; `rows` where those repeat in a flat tuple."""

    name: str
    contract: str
    method: str
    fields: tuple[str, ...] = ()
    rows: bool = False


_HOLDING = tuple(f"{place}_{bucket}_t" for place in ("registry", "trading") for bucket in ("available", "trading", "frozen", "pledged", "pending"))
_PROFILE = (
    *("org", "name", "kind", "status", "industry", "region", "roles", "bars", "registry_no", "trading_no", "reporting_no", "credit"),
    *("applied_ms", "decided_ms"),
)
_REPORT = ("version", "scope1_t", "scope2_t", "evidence", "reported_ms", "late", "verified_t", "opinion", "statement", "verified_version")
_DAY = ("open_fen", "high_fen", "low_fen", "close_fen", "volume_t", "amount_fen", "trades")
_QUOTE = ("previous_close_fen", "lower_fen", "upper_fen", "open_fen", "high_fen", "low_fen", "last_fen", "volume_t", "amount_fen", "trades")
_RECORD = (
    *("code", "type", "time_ms", "height", "book", "quantity_t", "price_fen", "from", "to", "ref", "status", "other_voucher"),
    "previous_voucher",
)
_OBLIGATION = (
    *("verified_t", "obligation_t", "surrendered_t", "pending_t", "status", "shortfall_t", "mean_price_fen", "multiple"),
    *("penalty_fen", "paid", "covered"),
)
_APPLICATION = ("entity", "year", "iv", "quantity_t", "state", "failed_rule", "submitted_ms", "voucher")
PROPOSAL_FIELDS = ("kind", "subject", "key", "value", "note", "proposer", "yes", "no", "state", "effective_height")

VERBS: dict[str, tuple[str, tuple[Verb, ...]]] = {
    "account": (
        "Entities: register, approve, freeze, cash.",
        (
            Verb("apply", "identity", "apply"),
            Verb("approve", "identity", "approve"),
            Verb("reject", "identity", "reject"),
            Verb("admit", "identity", "admit"),
            Verb("show", "identity", "profile", _PROFILE),
            Verb("status", "identity", "status_of"),
            Verb("whoami", "identity", "whoami", ("entity", "org", "rights", "roles")),
            Verb("add-key", "identity", "add_key"),
            Verb("revoke-key", "identity", "revoke_key"),
            Verb("freeze", "identity", "freeze"),
            Verb("unfreeze", "identity", "unfreeze"),
            Verb("bar", "identity", "bar"),
            Verb("close", "identity", "close"),
            Verb("balance", "cash", "balance", ("available_fen", "reserved_orders_fen", "reserved_withdrawals_fen")),
            Verb("deposit", "cash", "deposit"),
            Verb("withdraw", "cash", "request_withdrawal"),
            Verb("pay-out", "cash", "pay_out"),
        ),
    ),
    "report": (
        "Emission plans, reports and their verification.",
        (
            Verb("file-plan", "emissions", "file_plan"),
            Verb("approve-plan", "emissions", "approve_plan"),
            Verb("submit", "emissions", "report"),
            Verb("verify", "emissions", "verify"),
            Verb("show", "emissions", "report_of", _REPORT),
            Verb("plan", "emissions", "plan_of", ("plan_hash", "status", "filed_ms", "decided_ms")),
        ),
    ),
    "allowance": (
        "Issue, allocate, hold and move allowances.",
        (
            Verb("allocate", "allowance", "allocate"),
            Verb("issue", "allowance", "issue"),
            Verb("holding", "allowance", "holding", (*_HOLDING, "bought_today_t")),
            Verb("holdings", "allowance", "holdings", ("iv", *_HOLDING, "bought_today_t"), rows=True),
            Verb("totals", "allowance", "totals", ("cap_t", "issued_t", "registry_t", "trading_t", "surrendered_t", "cancelled_t", "reserve_t")),
            Verb("to-trading", "allowance", "to_trading"),
            Verb("to-registry", "allowance", "to_registry"),
            Verb("transfer", "allowance", "transfer"),
            Verb("cancel", "allowance", "cancel"),
            Verb("pledge", "allowance", "pledge"),
            Verb("release-pledge", "allowance", "release_pledge"),
            Verb("freeze", "allowance", "freeze"),
            Verb("unfreeze", "allowance", "unfreeze"),
            Verb("unit", "allowance", "unit", ("start", "end", "entity", "place")),
        ),
    ),
    "market": (
        "The market's day: quotes, depth, closes, sessions.",
        (
            Verb("show", "matching", "market", ("day", "state", "halted", "am_open_ms", "am_close_ms", "pm_open_ms", "pm_close_ms")),
            Verb("quote", "matching", "quote", _QUOTE),
            Verb("depth", "matching", "depth", ("side", "price_fen", "quantity_t"), rows=True),
            Verb("books", "matching", "books"),
            Verb("close-of", "matching", "close_of", _DAY),
            Verb("open-book", "matching", "open_book"),
            Verb("open-day", "matching", "open_day"),
            Verb("close-day", "matching", "close_day"),
            Verb("expire", "matching", "expire"),
            Verb("halt", "matching", "halt"),
            Verb("resume", "matching", "resume"),
        ),
    ),
    "order": (
        "Place, cancel and list orders.",
        (
            Verb("place", "matching", "place"),
            Verb("cancel", "matching", "cancel"),
            Verb("show", "matching", "order", ("entity", "left_t", "quantity_t", "ref")),
            Verb("list", "matching", "orders", ("order", "left_t", "quantity_t", "ref"), rows=True),
        ),
    ),
    "trade": (
        "Deliver and look up trades.",
        (
            Verb("deliver", "execution", "deliver"),
            Verb("list", "voucher", "trades", ("number", "book", "quantity_t", "seller", "buyer"), rows=True),
            Verb("serials", "execution", "serials_of", ("start", "end"), rows=True),
        ),
    ),
    "voucher": (
        "Voucher codes on chain.",
        (
            Verb("status", "voucher", "check"),
            Verb("record", "voucher", "record", _RECORD),
            Verb("correct", "voucher", "correct"),
            Verb("page", "voucher", "page"),
        ),
    ),
    "surrender": (
        "Surrender allowances against an obligation.",
        (
            Verb("submit", "compliance", "submit"),
            Verb("withdraw", "compliance", "withdraw"),
            Verb("review", "compliance", "review"),
            Verb("status", "compliance", "status"),
            Verb("obligation", "compliance", "obligation", _OBLIGATION),
            Verb("application", "compliance", "application", _APPLICATION),
            Verb("assess", "compliance", "assess"),
            Verb("decide", "compliance", "decide"),
            Verb("pay-penalty", "compliance", "pay_penalty"),
        ),
    ),
    "govern": (
        "Rule sets, proposals, votes, the market clock.",
        (
            Verb("active", "rules", "active"),
            Verb("number", "rules", "number"),
            Verb("source", "rules", "legal_source"),
            Verb("propose", "rules", "propose"),
            Verb("vote", "rules", "vote"),
            Verb("proposal", "rules", "proposal", PROPOSAL_FIELDS),
            Verb("clock", "rules", "clock", ("market_ms", "offset_ms")),
            Verb("advance-clock", "rules", "advance_clock"),
            Verb("close-day", "rules", "close_day"),
            Verb("reopen-day", "rules", "reopen_day"),
        ),
    ),
}

EXAMPLES = {"int": "10", "str": "TEXT", "bytes": "0x" + "00" * 4, "bool": "true", "tuple": "'[]'"}
KNOWN_EXAMPLES = {
    "book": "CEA-2024", "iv": "CEA-2024", "side": "B", "price_fen": "6196", "year": "2024", "entity": "ST-001", "code": "1T-CNSH-...",
    "receiver": "ST-002", "set_id": "''", "key": "lot", "levels": "5",
}  # fmt: skip


class Method(NamedTuple):
    """A method as its source declares it."""

    view: bool
    parameters: tuple[tuple[str, str], ...]
    doc: str


def method_of(contract: str, name: str) -> Method:
    """A shipped contract's method, read from its source."""
    for node in ast.parse(contract_source(contract)).body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            view = any(isinstance(d, ast.Name) and d.id == "view" for d in node.decorator_list)
            parameters = tuple((a.arg, ast.unparse(a.annotation) if a.annotation else "str") for a in node.args.args)
            return Method(view, parameters, ast.get_docstring(node) or f"{contract}.{name}")
    raise AssertionError(f"no method {contract}.{name} in the shipped contracts")


def _example(group: str, verb: Verb, method: Method) -> str:
    words = [f"carbonnode {group} {verb.name}"]
    words += [f"--{name.replace('_', '-')} {KNOWN_EXAMPLES.get(name, EXAMPLES[kind])}" for name, kind in method.parameters]
    return " ".join([*words, "" if method.view else "--from st-001 --wait"]).strip()


def _command(group: str, verb: Verb) -> click.Command:
    method = method_of(verb.contract, verb.method)

    def ask(wallet: str | None, wallets: Path | None, node: str | None, output: Output, **given: str) -> int:
        from carbonnode.chain.arguments import bind_text, find_method
        from carbonnode.cli.query import report
        from carbonnode.cli.tx import abi_of

        async def work(client: "Client") -> "QueryAnswer":
            args = bind_text(verb.contract, find_method(await abi_of(client, verb.contract), verb.method, "view"), given)
            return await client.query(verb.contract, verb.method, *args)

        signer = open_wallet(wallet, wallets) if wallet else None
        return report(output, verb.contract, verb.method, with_client(node, work, signer), verb.fields, rows=verb.rows)

    def act(wallet: str, wallets: Path | None, node: str | None, wait: bool, gas: int | None, force: bool, output: Output, **given: str) -> int:
        from carbonnode.chain.arguments import bind_text, find_method
        from carbonnode.cli.tx import abi_of, report, send

        async def work(client: "Client") -> "Sent":
            args = bind_text(verb.contract, find_method(await abi_of(client, verb.contract), verb.method, "export"), given)
            return await send(client, verb.contract, verb.method, args, wait=wait, gas=gas, force=force)

        return report(output, with_client(node, work, open_wallet(wallet, wallets)))

    command: Any = json_option(ask if method.view else act)
    command = node_option(signer_options(required=not method.view)(command))
    if not method.view:
        command = gas_options(command)
        command = click.option("--wait/--no-wait", default=False, help="Wait until the transaction is final.")(command)
    for name, kind in reversed(method.parameters):
        command = click.option(f"--{name.replace('_', '-')}", name, required=True, metavar=kind.upper())(command)
    what = "the view" if method.view else "a call of"
    text = f"{method.doc}\n\n\b\nExample:\n  {_example(group, verb, method)}\n\nIt is {what} {verb.contract}.{verb.method}."
    return click.command(verb.name, help=text)(command)


class VerbGroup(SuggestingGroup):
    """A group whose verbs are made when one is asked for."""

    def __init__(self, key: str) -> None:
        about, verbs = VERBS[key]
        first = verbs[0]
        example = _example(key, first, method_of(first.contract, first.method))
        super().__init__(name=key, help=f"{about}\n\n\b\nExample:\n  {example}")
        for verb in verbs:
            self.add_command(_command(key, verb))


def add_verbs(group: click.Group, key: str) -> None:
    """Add the verbs of `key` to a group that has commands of its own."""
    for verb in VERBS[key][1]:
        group.add_command(_command(key, verb))


account = VerbGroup("account")
report = VerbGroup("report")
allowance = VerbGroup("allowance")
market = VerbGroup("market")
order = VerbGroup("order")
trade = VerbGroup("trade")
surrender = VerbGroup("surrender")
