"""What things cost: a schedule by version, activated at an epoch. One gas is about 11 ns at the median on the machine it was
calibrated on, at most 30 (`make gas`): of a core of a node that executes, salts, hashes and stores.

Static costs are summed at link time and charged at function entry and at each turn of a loop; the others are charged by size in the
built-ins, before the work is done. A change of any number is a new version: gas stands in receipts.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec


class GasSchedule(msgspec.Struct, frozen=True, gc=False):
    """Costs in gas. The first group is charged by what stands in the source, the second by size while running."""

    version: int
    transaction: int = 100
    """Every transaction, before its first call."""
    call: int = 60
    """Every call of an exported method, from outside or from a contract."""
    function: int = 4
    """Entry of a function."""
    loop_turn: int = 2
    loop: int = 12
    """A `for` or a comprehension, before its turns."""
    statement: int = 1
    """A statement, a value of `and` and `or`, a condition of a comprehension, a conditional expression."""
    operator: int = 5
    """`+ - *`."""
    division: int = 7
    """`// % & | ^`."""
    power: int = 16
    """`** << >>`."""
    unary: int = 4
    """`-x`, `+x`, `~x`."""
    comparison: int = 5
    membership: int = 8
    """`in` anything but a Map."""
    subscript: int = 4
    item_write: int = 12
    """`x[i] = y`."""
    slice: int = 24
    display: int = 2
    """A tuple or list display, before its items."""
    display_item: int = 1
    dict_display: int = 9
    """A dict display, before its items, which are three `display_item` each, and an eighth of their number's square: what inserting them may probe."""
    builtin: int = 6
    """A built-in function, or a method that changes a list, or a dict's `get`, before what it costs by size."""
    method: int = 12
    """Any other method."""
    search: int = 32
    """`join`, `split`, `strip`, `find`."""
    conversion: int = 24
    """`int` and `str`."""
    local_call: int = 2
    context: int = 1
    read: int = 120
    write: int = 1000
    delete: int = 1000
    step: int = 500
    """One `next` or `prev` of a Map."""
    emit: int = 250
    event_field: int = 8
    addressed: int = 1000
    """An event with `to`: the number of the addressee's last event is written to the state."""
    schedule: int = 2000
    digest: int = 50
    signature: int = 4000
    fixed_exp: int = 4000
    fixed_pow: int = 20000
    muldiv: int = 40
    attempt: int = 120
    """`try_call`, beside the call: a failure costs more than a success."""

    per_item: int = 1
    """Each item that is made, copied or looked at. Making one takes less time than this pays for; it's memory that is priced: at 16 bytes a gas."""
    per_text_shift: int = 4
    """Each 16 bytes of text that are made, copied or searched: size >> 4."""
    per_memory_shift: int = 9
    """Each 512 bytes of text that are compared: size >> 9."""
    per_value_shift: int = 3
    """Each 8 bytes that are read from or written to the state: size >> 3."""
    per_read_item: int = 24
    """Each item of a tuple that is read: it may come from the disk, and be an integer beyond 64 bits."""
    per_value_item: int = 6
    """Each item of a tuple that is written."""
    per_large_integer: int = 30
    """Each integer beyond 64 bits in a tuple that is written: its encoding is another."""
    per_result_item: int = 16
    """Each item of a tuple in a receipt."""
    per_sorted_item: int = 2
    """Each item that is sorted, beside a fourth of the steps that finding its place takes."""
    per_pair: int = 10
    """Each item of `dict.items()`."""
    per_piece: int = 4
    """Each piece that splitting a text may make."""
    per_probe_shift: int = 2
    """Looking up an integer in a dict: len >> 2. An integer's hash is itself, so that keys can be chosen to lie in one row; a text's is secret."""
    sized: int = 8
    """Adding texts and containers, beside what they cost by size."""
    choice: int = 24
    """`min`, `max`, `sum`, `sorted`, and looking something up in a list or text, beside what they cost by size."""
    repeat: int = 20
    """`*` of a text or container."""
    compared_tuple: int = 30
    """Comparing two tuples, beside twice their items; choosing among texts and sorting them, once; among tuples twice."""
    searched_tuple: int = 20
    """Each item of a list in which a tuple is looked for, beside four times the tuple's items."""
    nested: int = 30
    """Each tuple inside a tuple that is passed or returned, beside its items."""


SCHEDULES: Final[Mapping[int, GasSchedule]] = MappingProxyType({1: GasSchedule(version=1)})
"""Every schedule there has ever been: old blocks replay with theirs."""
