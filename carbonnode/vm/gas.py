"""What things cost: a schedule by version, activated at an epoch. One gas is about 30 ns on the machine it was calibrated on.

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
    transaction: int = 60
    """Every transaction, before its first call."""
    call: int = 40
    """Every call of an exported method, from outside or from a contract."""
    function: int = 4
    """Entry of a function."""
    loop_turn: int = 3
    statement: int = 1
    name: int = 0
    operator: int = 3
    comparison: int = 2
    subscript: int = 3
    display: int = 2
    """A tuple, list or dict display, before its items."""
    display_item: int = 1
    builtin: int = 6
    """A built-in function or method, before what it costs by size."""
    local_call: int = 2
    context: int = 1
    read: int = 18
    write: int = 30
    delete: int = 30
    step: int = 60
    """One `next` or `prev` of a Map."""
    emit: int = 30
    event_field: int = 3
    schedule: int = 200
    digest: int = 30
    signature: int = 3000
    fixed: int = 6000
    """An exponential or power of `fixed_exp` and `fixed_pow`."""
    muldiv: int = 10

    per_item: int = 1
    """Each item that a built-in looks at or copies."""
    per_text_shift: int = 4
    """Each 16 bytes of text that are copied or searched: size >> 4."""
    per_sorted_item: int = 4
    per_value_shift: int = 3
    """Each 8 bytes that are read from or written to the state: size >> 3."""


SCHEDULES: Final[Mapping[int, GasSchedule]] = MappingProxyType({1: GasSchedule(version=1)})
"""Every schedule there has ever been: old blocks replay with theirs."""
