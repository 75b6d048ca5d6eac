"""`carbonnode calc`: the contracts' own formulas on a local state, for planning and for checking the authority's figures."""

import datetime as dt
from pathlib import Path

import click

from carbonnode.cli.groups import SuggestingGroup
from carbonnode.cli.output import Output
from carbonnode.cli.session import json_option
from carbonnode.errors import ConfigError

INPUTS = {
    "emissions": ("Tonnes of CO2 from fuel streams.", "fuel, consumption, unit, ncv, carbon_content or factor, oxidation a row", "streams.csv"),
    "allocation": ("Benchmark allocation.", "entity, id, class, power_mwh, heat_gj, load_factor, verified_t a row", "units.csv"),
    "carry-over": ("What may be carried over to the next period.", "holdings_t, net_sales_t, pending_t", "holdings.json"),
    "penalty": ("The penalty for a shortfall.", "shortfall_t, mean_price_fen, multiple", "shortfall.json"),
    "auction": ("Clearing price and awards of a one-way auction.", "supply_t, reserve_fen, lot_t, bids", "bids.json"),
    "match": ("Trades of an ordered list of orders and cancels.", "id, owner, side, price_fen, quantity_t; or cancel", "orders.json"),
}


@click.group(cls=SuggestingGroup)
def calc() -> None:
    """The contracts' own formulas on a local state.

    \b
    Example:
      carbonnode calc allocation --rules cn-national-2024 --input units.csv
    """


def _date(text: str | None) -> dt.date | None:
    try:
        return None if text is None else dt.date.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"--at {text} is no date: write it like 2024-07-01") from None


def _calculator(kind: str, about: str, fields: str, example: str) -> click.Command:
    def body(rules: str, input_path: Path, at: str | None, output: Output, self_trade: str = "prevent") -> int:
        from carbonnode.local import calc as calculators

        output.result(calculators.run(kind, rules, input_path, at=_date(at), self_trade=self_trade))
        return 0

    body.__doc__ = f"""{about} Input (.json or .csv): {fields}.

    \b
    Example:
      carbonnode calc {kind} --rules cn-national-2024 --input {example}
    """
    command = json_option(body)
    if kind == "match":
        option = click.option("--self-trade", type=click.Choice(["prevent", "allow"]), default="prevent", show_default=True, help="Same owner on both sides.")
        command = option(command)
    command = click.option("--at", metavar="DATE", help="Day in the market's time zone; default: the rule set's first.")(command)
    command = click.option("--input", "input_path", required=True, type=click.Path(dir_okay=False, path_type=Path), help="JSON or CSV file.")(command)
    command = click.option("--rules", required=True, metavar="RULESET", help="A rule set's id, or the path of its file.")(command)
    return click.command(kind)(command)


for _kind, (_about, _fields, _example) in INPUTS.items():
    calc.add_command(_calculator(_kind, _about, _fields, _example))
