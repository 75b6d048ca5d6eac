"""`carbonnode sim`: one seed of the deterministic consensus simulator."""

import click

from carbonnode.cli.output import Output, note
from carbonnode.cli.session import json_option


@click.command()
@click.option("--seed", required=True, type=int, help="The source of all chance: the same arguments give the same digest on any machine.")
@click.option("--replicas", type=click.IntRange(1, 100), default=4, show_default=True)
@click.option("--byzantine", type=click.IntRange(0, 33), default=1, show_default=True, help="How many of them lie.")
@click.option("--steps", type=click.IntRange(1), default=2000, show_default=True, help="Events before the network is healed.")
@click.option("--reconfigure", is_flag=True, help="Change the validator set on the way.")
@click.option("--trace", is_flag=True, help="Print the conversation on stderr.")
@json_option
def sim(seed: int, replicas: int, byzantine: int, steps: int, reconfigure: bool, trace: bool, output: Output) -> int:
    """Run N real replicas under loss, delay, partitions, crashes and lies; then heal, and see whether they converge.

    Exit status 1 on a violation of safety, or when they don't converge.

    \b
    Example:
      carbonnode sim --seed 7 --replicas 4 --byzantine 1 --trace
    """
    from carbonnode.sim import simulate

    result = simulate(seed, replicas, byzantine, steps, reconfigure=reconfigure, trace=note if trace else None)
    output.result(result.to_json())
    if not result.ok:
        what = "; ".join(result.violations) or "the replicas didn't converge after healing"
        note(f"error [simulation]: seed {seed}: {what}: run it again with --trace, and keep the seed")
        return 1
    return 0
