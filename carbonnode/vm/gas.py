"""What things cost: a schedule by version, activated at an epoch. One gas is about 20 ns on the machine it was calibrated on.

Static costs are summed at link time and charged at function entry and at each turn of a loop; the others are charged by size in the
built-ins, before the work is done. A change of any number is a new version: gas stands in receipts.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec


class GasSchedule(msgspec.Struct, frozen=True, gc=False):
    """Costs in gas. Those named `per_*` are charged by size while running; the others are static."""

    version: int
    transaction: int = 100
    """Every transaction, before its first call."""
    call: int = 60
    """Every call of an exported method, from outside or from a contract."""
    function: int = 4
    """Entry of a function."""
    loop_turn: int = 1
    statement: int = 1
    name: int = 0
    operator: int = 2
    comparison: int = 2
    subscript: int = 2
    display: int = 2
    """A tuple, list or dict display, before its items."""
    display_item: int = 1
    builtin: int = 6
    """A built-in function or method, before what it costs by size."""
    local_call: int = 2
    context: int = 1
    read: int = 40
    write: int = 600
    delete: int = 600
    step: int = 120
    """One `next` or `prev` of a Map."""
    emit: int = 150
    event_field: int = 4
    schedule: int = 1000
    digest: int = 50
    signature: int = 4000
    fixed: int = 8000
    """An exponential or power of `fixed_exp` and `fixed_pow`."""
    muldiv: int = 26
    power: int = 6
    """`**`, `<<` and `>>`."""
    conversion: int = 16
    """`int`, `str`, `strip` and other work on a short text."""
    attempt: int = 120
    """`try_call`, beside the call: a failure costs more than a success."""

    per_item: int = 1
    """Each item that a built-in looks at or copies."""
    per_text_shift: int = 4
    """Each 16 bytes of text that are copied or searched: size >> 4."""
    per_sorted_item: int = 4
    per_value_shift: int = 3
    """Each 8 bytes that are read from or written to the state: size >> 3."""


SCHEDULES: Final[Mapping[int, GasSchedule]] = MappingProxyType({1: GasSchedule(version=1)})
"""Every schedule there has ever been: old blocks replay with theirs."""
