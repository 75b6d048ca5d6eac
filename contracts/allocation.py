"""Allocation formulas: benchmark, intensity and historical methods, settlement of a pre-allocation. Only views: anyone can recompute a quota.

IEEE Std 3218-2022: 8.3 c (1 historical, 2 baseline), 7.4 Table 1 r7. Numbers come from the rule set; arithmetic is exact on integers:
power in kWh, heat in MJ, benchmarks x 10^4, load factor and its correction x 10^6, so that unit figures are integers of 10^-13 t.
Only the sum of an entity is floored to whole tonnes. The load factor correction is rounded half up to 6 decimals; the VM's fixed-point
helpers return the correctly rounded value (the draft form combines two of them at 30 decimals: error below 10^-26).
"""

SCALE = 10 ** 13
UNIT_FIELDS = 6
BENCHMARKS = ("be_I_e4", "be_II_e4", "be_III_e4", "be_IV_e4", "bh_coal_e4", "bh_gas_e4")
CLASSES = ("I", "II", "III", "IV")
GAS = 3
FORM_NONE = 0
FORM_POWER = 1
FORM_DRAFT = 2


def class_index(name: str) -> int:
    for i in range(len(CLASSES)):
        if CLASSES[i] == name:
            return i
    abort("ALLOC-CLASS")
    return -1


def correction(set_id: str, load_e6: int) -> int:
    form = call("rules", "number", set_id, "lf_form")
    if form == FORM_NONE or load_e6 < 0:
        return 1000000
    require(load_e6 <= 1000000, "ALLOC-LOAD-FACTOR")
    if load_e6 >= call("rules", "number", set_id, "lf_threshold_e6"):
        return 1000000
    if form == FORM_POWER:
        # base ^ (constant - slope F), F as a fraction
        p = call("rules", "numbers_of", set_id, ("lf_base_e3", "lf_constant", "lf_slope"))
        return fixed_pow(p[0], 1000, p[1] * 1000000 - p[2] * load_e6, 1000000, 1000000, "half_up")
    # c0 - c1 (1 - e^(-F / d1)) - c2 (1 - e^(-F / d2)), F in percent
    p = call("rules", "numbers_of", set_id, ("lf_c0_e3", "lf_c1_e3", "lf_d1_e3", "lf_c2_e3", "lf_d2_e3"))
    first = fixed_exp(-load_e6, p[2] * 10, 10 ** 30, "half_up")
    second = fixed_exp(-load_e6, p[4] * 10, 10 ** 30, "half_up")
    total = (p[0] - p[1] - p[3]) * 10 ** 30 + p[1] * first + p[3] * second
    return muldiv(total, 1, 10 ** 27, "half_up")


def unit_figures(set_id: str, units: tuple) -> list:
    # (unit id, correction x 10^6, power part, heat part, total in 10^-13 t) of each unit with a benchmark
    require(len(units) % UNIT_FIELDS == 0, "ALLOC-UNITS")
    b = call("rules", "numbers_of", set_id, BENCHMARKS)
    corrected = call("rules", "table", set_id, "lf_classes")
    top_up = call("rules", "number", set_id, "gas_top_up") == 1
    figures = []
    for i in range(0, len(units), UNIT_FIELDS):
        if units[i + 1] == "":
            continue
        c = class_index(units[i + 1])
        require(min(units[i + 2], units[i + 3], units[i + 5]) >= 0, "ALLOC-NEGATIVE")
        ff = correction(set_id, units[i + 4]) if units[i + 1] in corrected else 1000000
        power = units[i + 2] * b[c] * ff
        heat = units[i + 3] * (b[5] if c == GAS else b[4]) * 1000000
        total = power + heat
        if c == GAS and top_up:
            total = max(total, units[i + 5] * SCALE // 1000)
        figures.append((units[i], ff, power, heat, total))
    return figures


def entity_total(set_id: str, figures: list, verified_kg: int) -> int:
    total = 0
    for f in figures:
        total += f[4]
    floor_bp = call("rules", "number", set_id, "allocation_floor_bp")
    return max(total // SCALE, verified_kg * floor_bp // 10000000)


@view
def entity_allowance(set_id: str, units: tuple, verified_kg: int) -> int:
    """Whole tonnes of an entity: the floored sum over its units, at least the rule set's share of verified emissions.

    `units`: flat, 6 a unit: id, class, power_kwh, heat_mj, load factor x 10^6 (-1: not stated), emissions_kg.
    """
    return entity_total(set_id, unit_figures(set_id, units), verified_kg)


@view
def benchmark(set_id: str, units: tuple, verified_kg: int) -> tuple:
    """(whole tonnes, then flat for each unit: id, correction x 10^6, power part, heat part, total in 10^-13 t)."""
    figures = unit_figures(set_id, units)
    found = [entity_total(set_id, figures, verified_kg)]
    for f in figures:
        found.extend(f)
    return tuple(found)


@view
def has_benchmark(units: tuple) -> bool:
    """Whether any unit has a benchmark class: others register without obligation."""
    require(len(units) % UNIT_FIELDS == 0, "ALLOC-UNITS")
    for i in range(0, len(units), UNIT_FIELDS):
        if units[i + 1] != "":
            return True
    return False


@view
def check_units(units: tuple) -> None:
    """Refuse a unit list that isn't well formed (types, classes, negative figures)."""
    require(len(units) > 0 and len(units) % UNIT_FIELDS == 0, "ALLOC-UNITS")
    for i in range(0, len(units), UNIT_FIELDS):
        require(len(units[i]) >= 1 and len(units[i]) <= 48, "ALLOC-UNIT-ID")
        require(units[i + 1] == "" or class_index(units[i + 1]) >= 0, "ALLOC-CLASS")
        require(units[i + 2] >= 0 and units[i + 3] >= 0 and units[i + 5] >= 0, "ALLOC-NEGATIVE")
        require(units[i + 4] >= -1 and units[i + 4] <= 1000000, "ALLOC-LOAD-FACTOR")


@view
def load_factor(set_id: str, load_e6: int) -> int:
    """The load factor correction x 10^6 of conventional coal, half up."""
    return correction(set_id, load_e6)


@view
def intensity(emissions_t: int, gap_e6: int) -> int:
    """Intensity method: A = E (1 + a), a = 0.15 X for |X| < 20 %, otherwise +-0.03; X x 10^6. Whole tonnes, floored."""
    require(emissions_t >= 0, "ALLOC-NEGATIVE")
    if abs(gap_e6) < 200000:
        return emissions_t * (100000000 + 15 * gap_e6) // 100000000
    return emissions_t * (103 if gap_e6 > 0 else 97) // 100


@view
def historical(base_t: tuple, reduction_e6: int, adjustment_e6: int) -> int:
    """Historical method: the mean of the base years' emissions x reduction factor x adjustment. Whole tonnes, floored."""
    require(len(base_t) > 0 and min(base_t) >= 0, "ALLOC-BASE-YEARS")
    require(reduction_e6 >= 0 and adjustment_e6 >= 0, "ALLOC-NEGATIVE")
    return sum(base_t) * reduction_e6 * adjustment_e6 // (len(base_t) * 10 ** 12)


@view
def pre_allocation(set_id: str, verified_last_t: int) -> int:
    """Tonnes allocated in advance: the rule set's share of last year's verified emissions, floored."""
    return verified_last_t * call("rules", "number", set_id, "pre_allocation_bp") // 10000


@view
def settle_pre(pre_t: int, final_t: int, deduction_t: int) -> tuple:
    """(deduct, refund, issue) when the final allocation replaces the pre-allocation and an earlier deduction is still due (reading: verify)."""
    require(min(pre_t, final_t, deduction_t) >= 0, "ALLOC-NEGATIVE")
    refund = max(0, pre_t - final_t)
    deduct = min(deduction_t, max(pre_t, final_t))
    return (deduct, refund, max(0, final_t - pre_t - deduct))


@view
def gap_rate(verified_t: int, allowance_t: int) -> int:
    """(verified - allowance) / verified in 0.01 %, half up."""
    require(verified_t > 0, "ALLOC-NEGATIVE")
    return muldiv(verified_t - allowance_t, 10000, verified_t, "half_up")
