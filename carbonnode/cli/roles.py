"""`carbonnode roles`: the stakeholders of clause 4 and what carries their duties here."""

import click

from carbonnode.cli.groups import SuggestingGroup
from carbonnode.cli.output import Output
from carbonnode.cli.session import json_option

ROLES = (
    ("service user", "transaction entity", "4.2.1", "user node; account: reports, holds, trades, surrenders"),
    ("service user", "risk manager", "4.2.2", "exchange or authority key: halts, bars, reads positions; holds nothing"),
    ("business provider", "business requirements manager", "4.3.1", "tests/requirements.toml, `make trace`"),
    ("business provider", "business system developer", "4.3.2", "releases, CHANGELOG.md, `make test`"),
    ("business provider", "business service manager", "4.3.3", "exchange and registry members: books, calendar, instruments"),
    ("business provider", "business system maintainer", "4.3.4", "operator of a node: docs/operators.md"),
    ("platform provider", "technical requirements manager", "4.4.1", "docs/benchmarks.md: measured beside wanted"),
    ("platform provider", "technical service developer", "4.4.2", "contracts by proposal and vote (`govern`)"),
    ("platform provider", "technical system operator", "4.4.3", "operator of a super node"),
    ("platform provider", "technical service regulator", "4.4.4", "coordination node: supervises, halts, votes"),
    ("platform provider", "third-party supporter", "4.4.5", "certificate authorities in genesis; verifiers"),
    ("regulator", "regulator", "4.5", "coordination node: plans, approvals, allocation, penalties"),
)
NODE_ROLES = {"super": "market organiser, registry operator", "coordination": "government, regulator, verifier", "user": "enterprise; doesn't vote"}


@click.group(cls=SuggestingGroup)
def roles() -> None:
    """The roles of the network and who holds them.

    \b
    Example:
      carbonnode roles list
    """


@roles.command("list")
@json_option
def show(output: Output) -> int:
    """The twelve roles of clause 4 under their four groups, and the roles of nodes.

    \b
    Example:
      carbonnode roles list --json
    """
    rows = [{"group": group, "role": role, "clause": clause, "here": here} for group, role, clause, here in ROLES]
    if output.json:
        output.result({"roles": rows, "node_roles": [{"role": role, "who": who} for role, who in NODE_ROLES.items()]})
    else:
        output.result(rows)
    return 0
