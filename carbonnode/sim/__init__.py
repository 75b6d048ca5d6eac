"""The deterministic simulator: real replicas under a heap clock, one seeded source of chance, and every fault we know of.

`run.simulate(seed, replicas, byzantine, steps)` gives a `SimResult`; `trace=print` prints the conversation.
"""

from carbonnode.sim.run import HEAL_BOUND_MS, SimResult, Simulation, simulate, standard

__all__ = ["HEAL_BOUND_MS", "SimResult", "Simulation", "simulate", "standard"]
