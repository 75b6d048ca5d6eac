"""Compliance: obligations, surrender with pre-examination and review, status, shortfall and penalty, carry-over.

IEEE Std 3218-2022: 8.8, 8.7 d, 7.4 Table 1 r8. The obligation of a covered emitter is its verified emissions; a correction adjusts it by the
difference. Status: O open, A met, B short, C no verified figure, X excluded, N not applicable. A late surrender clears the debt, not the penalty.
"""

AUTHORITY = 1
MS_A_DAY = 86400000

# entity, year -> (verified_t, surrendered_t, pending_t, status, shortfall_t at assessment, mean price, multiple, penalty, paid, covered)
obligations = Map(str, int, tuple)
# number -> (entity, year, iv, quantity_t, state, failed rule or "", submitted_ms, voucher)
applications = Map(int, tuple)
application_count = Var(int)
NONE = (0, 0, 0, "", 0, 0, 0, 0, False, False)


def required(o: tuple) -> int:
    return o[0] if o[9] else 0


def status_now(o: tuple, assessed: bool) -> str:
    if o[3] == "X":
        return "X"
    if not o[9]:
        return "N"
    if o[1] >= o[0]:
        return "A"
    return "B" if assessed else "O"


def assessed_before(o: tuple) -> bool:
    return o[6] > 0 or o[3] == "B"


@export
def on_verified(entity: str, year: int, verified_t: int, benchmarked: bool) -> None:
    """The emissions contract announces a verified figure; coverage is decided by the rule set's threshold."""
    require(ctx.caller == "emissions", "ACCESS-CALLER")
    covered = benchmarked and verified_t >= call("rules", "number", "", "coverage_t")
    o = obligations.get((entity, year), NONE)
    was_assessed = assessed_before(o)
    # Once covered, a correction below the threshold doesn't end that year's obligation.
    o = (verified_t, o[1], o[2], o[3], o[4], o[5], o[6], o[7], o[8], covered or o[9])
    state = status_now(o, was_assessed)
    obligations[entity, year] = o[:3] + (state,) + o[4:]
    emit("ObligationSet", to=call("identity", "org_of", entity), entity=entity, year=year, obligation_t=required(o), status=state)


def deadline_of(year: int) -> int:
    p = call("rules", "numbers_of", "", ("surrender_month", "surrender_day", "market_utc_offset_ms"))
    return (call("rules", "day_of", year + 1, p[0], p[1]) + 1) * MS_A_DAY - p[2]


def failed_rule(o: tuple, year: int, iv: str, quantity_t: int) -> str:
    # The automatic pre-examination: the first rule that fails, or "".
    vintage = int(iv.split("-")[1])
    if vintage > year and call("rules", "number", "", "surrender_later_vintages") == 0:
        return "SURRENDER-VINTAGE"
    if o[1] + o[2] + quantity_t > o[0]:
        return "SURRENDER-EXCESS"
    return ""


@export
def submit(year: int, iv: str, quantity_t: int) -> int:
    """Apply to surrender registry units against the sender's obligation; they are pending until reviewed. Returns the application's number."""
    who = call("identity", "participant", ctx.sender)
    require(quantity_t > 0, "UNITS-QUANTITY")
    o = obligations.get((who[0], year), NONE)
    require(o[9] and o[3] != "X", "SURRENDER-NO-OBLIGATION")
    call("allowance", "lock_surrender", who[0], iv, quantity_t)
    failed = failed_rule(o, year, iv, quantity_t)
    number = application_count.get(0) + 1
    application_count.set(number)
    applications[number] = (who[0], year, iv, quantity_t, "submitted", failed, ctx.time, "")
    obligations[who[0], year] = (o[0], o[1], o[2] + quantity_t) + o[3:]
    emit("PreExamined", to=who[1], entity=who[0], application=number, year=year, iv=iv, quantity_t=quantity_t, failed=failed)
    return number


def open_application(number: int) -> tuple:
    a = applications.get(number, ())
    require(len(a) == 8, "SURRENDER-NO-APPLICATION")
    require(a[4] == "submitted", "SURRENDER-DECIDED")
    return a


def give_back(number: int, a: tuple, state: str) -> None:
    call("allowance", "end_surrender", a[0], a[2], a[3], False)
    o = obligations[a[0], a[1]]
    obligations[a[0], a[1]] = (o[0], o[1], o[2] - a[3]) + o[3:]
    applications[number] = a[:4] + (state,) + a[5:]


@export
def withdraw(number: int) -> None:
    """Take back an application of the sender's that isn't reviewed yet."""
    a = open_application(number)
    who = call("identity", "participant", ctx.sender)
    require(who[0] == a[0], "ACCESS-ENTITY")
    give_back(number, a, "withdrawn")
    emit("SurrenderWithdrawn", to=who[1], entity=a[0], application=number)


@export
def review(number: int, approve: bool, reason: str) -> str:
    """Decide an application by its pre-examination. Approved units leave circulation for good. Returns the voucher code, "" if returned."""
    call("identity", "authorise", ctx.sender, AUTHORITY)
    a = open_application(number)
    org = call("identity", "org_of", a[0])
    if not approve:
        require(len(reason) > 0, "SURRENDER-REASON")
        give_back(number, a, "returned")
        emit("SurrenderReturned", to=org, entity=a[0], application=number, reason=reason)
        return ""
    o = obligations[a[0], a[1]]
    # Examined again: the obligation or other applications may have changed since.
    failed = failed_rule((o[0], o[1], o[2] - a[3]), a[1], a[2], a[3])
    require(failed == "", failed if failed != "" else "SURRENDER-PRE-EXAMINATION")
    ranges = call("allowance", "end_surrender", a[0], a[2], a[3], True)
    serials = str(ranges[0]) + "-" + str(ranges[1]) + ("" if len(ranges) == 2 else "+" + str(len(ranges) // 2 - 1))
    code = call("voucher", "issue", "S", a[2], a[3], 0, a[0], "", str(a[1]) + " " + serials)
    was_assessed = assessed_before(o)
    o = (o[0], o[1] + a[3], o[2] - a[3]) + o[3:]
    state = status_now(o, was_assessed)
    obligations[a[0], a[1]] = o[:3] + (state,) + o[4:]
    applications[number] = a[:4] + ("approved", "", a[6], code)
    emit("Surrendered", to=org, entity=a[0], application=number, year=a[1], iv=a[2], quantity_t=a[3], voucher=code, status=state, left_t=max(0, required(o) - o[1]))
    return code


@export
def exclude(entity: str, year: int, reason: str) -> None:
    """Exclude an emitter from a year's compliance by decision."""
    call("identity", "authorise", ctx.sender, AUTHORITY)
    require(len(reason) > 0, "COMPLIANCE-REASON")
    o = obligations.get((entity, year), NONE)
    require(o[2] == 0, "COMPLIANCE-APPLICATION-PENDING")
    obligations[entity, year] = o[:3] + ("X",) + o[4:]
    emit("Excluded", to=call("identity", "org_of", entity), entity=entity, year=year, reason=reason)


def month_mean(year: int) -> int:
    # The calendar month before the deadline's month, all listing trades of that year's vintage.
    p = call("rules", "numbers_of", "", ("surrender_month", "surrender_day"))
    y = year + 1
    m = p[0] - 1
    if m == 0:
        y -= 1
        m = 12
    first = call("rules", "day_of", y, m, 1)
    following = call("rules", "day_of", year + 1, p[0], 1)
    book = call("rules", "text", "", "instrument") + "-" + str(year)
    return call("matching", "mean_price", book, first, following - 1)


@export
def assess(entity: str, year: int) -> str:
    """After the deadline: settle an emitter's status. A shortfall is entered in the credit record, with a penalty proposal at the least multiple."""
    call("identity", "authorise", ctx.sender, AUTHORITY)
    require(ctx.time >= deadline_of(year), "COMPLIANCE-BEFORE-DEADLINE")
    who = call("identity", "holder", entity)
    require(who[2] == "emitter", "COMPLIANCE-NO-EMITTER")
    o = obligations.get((entity, year), NONE)
    require(not assessed_before(o), "COMPLIANCE-ASSESSED")
    require(o[2] == 0, "COMPLIANCE-APPLICATION-PENDING")
    state = "C" if o[3] == "" else status_now(o, True)
    if state != "B":
        obligations[entity, year] = o[:3] + (state,) + o[4:]
        emit("Assessed", to=who[0], entity=entity, year=year, status=state, shortfall_t=0, penalty_fen=0)
        return state
    shortfall = o[0] - o[1]
    mean = month_mean(year)
    p = call("rules", "numbers_of", "", ("penalty_min_multiple", "credit_points_shortfall"))
    proposal = shortfall * mean * p[0]
    obligations[entity, year] = (o[0], o[1], 0, "B", shortfall, mean, p[0], proposal, False, True)
    call("identity", "record_credit", entity, "shortfall", p[1], str(year))
    emit("Assessed", to=who[0], entity=entity, year=year, status="B", shortfall_t=shortfall, penalty_fen=proposal)
    return "B"


@export
def decide(entity: str, year: int, multiple: int) -> int:
    """Fix the penalty: shortfall x mean price x multiple, within the rule set's range. The debt stays. Returns it in fen."""
    call("identity", "authorise", ctx.sender, AUTHORITY)
    o = obligations.get((entity, year), NONE)
    require(o[6] > 0, "COMPLIANCE-NOT-SHORT")
    require(not o[8], "PENALTY-PAID")
    p = call("rules", "numbers_of", "", ("penalty_min_multiple", "penalty_max_multiple"))
    require(multiple >= p[0] and multiple <= p[1], "PENALTY-MULTIPLE")
    amount = o[4] * o[5] * multiple
    obligations[entity, year] = o[:6] + (multiple, amount, False, True)
    emit("PenaltyDecided", to=call("identity", "org_of", entity), entity=entity, year=year, multiple=multiple, penalty_fen=amount)
    return amount


@export
def pay_penalty(year: int) -> int:
    """Pay the sender's penalty from its cash. Returns the amount in fen."""
    who = call("identity", "participant", ctx.sender)
    o = obligations.get((who[0], year), NONE)
    require(o[7] > 0, "PENALTY-NONE")
    require(not o[8], "PENALTY-PAID")
    call("cash", "charge_penalty", who[0], o[7])
    obligations[who[0], year] = o[:8] + (True, o[9])
    emit("PenaltyPaid", to=who[1], entity=who[0], year=year, penalty_fen=o[7])
    return o[7]


@view
def is_covered(entity: str, year: int) -> bool:
    """Whether an emitter is covered in a year; for the contracts of the market."""
    require(ctx.caller == "emissions", "ACCESS-CALLER")
    o = obligations.get((entity, year), NONE)
    return o[9] and o[3] != "X"


@view
def obligation(entity: str, year: int) -> tuple:
    """(verified_t, obligation_t, surrendered_t, pending_t, status, shortfall_t now, mean_price_fen, multiple, penalty_fen, paid, covered)."""
    call("identity", "check_reader", ctx.sender, entity)
    o = obligations.get((entity, year), NONE)
    short = max(0, required(o) - o[1])
    return (o[0], required(o), o[1], o[2], o[3] if o[3] != "" else "O", short, o[5], o[6], o[7], o[8], o[9])


@view
def status(entity: str, year: int) -> str:
    """O open, A met, B short, C no verified figure, X excluded, N not applicable."""
    call("identity", "check_reader", ctx.sender, entity)
    o = obligations.get((entity, year), NONE)
    return o[3] if o[3] != "" else "O"


@view
def application(number: int) -> tuple:
    """(entity, year, iv, quantity_t, state, failed rule, submitted_ms, voucher) of a surrender application."""
    a = applications.get(number, ())
    require(len(a) == 8, "SURRENDER-NO-APPLICATION")
    call("identity", "check_reader", ctx.sender, a[0])
    return a


@view
def owes(entity: str) -> bool:
    """Whether any obligation or penalty is open; for the closing of accounts."""
    require(ctx.caller == "identity", "ACCESS-CALLER")
    year = obligations.next(entity, None)
    while year is not None:
        o = obligations[entity, year]
        if o[3] != "X" and required(o) > o[1] or o[7] > 0 and not o[8]:
            return True
        year = obligations.next(entity, year)
    return False


@view
def deadline(year: int) -> int:
    """The end of a year's surrender period in ms: the first moment that is too late. Public."""
    return deadline_of(year)


@view
def carry_over(set_id: str, holdings_t: int, net_sales_t: int, pending_t: int) -> int:
    """Tonnes that may be carried to the next period: base + ratio x net sales, floored, at most the holdings less pending applications."""
    require(holdings_t >= 0 and pending_t >= 0, "CARRY-NEGATIVE")
    p = call("rules", "numbers_of", set_id, ("carry_base_t", "carry_ratio_bp"))
    limit = p[0] + max(0, net_sales_t) * p[1] // 10000
    return max(0, min(limit, holdings_t - pending_t))


@view
def penalty(set_id: str, shortfall_t: int, mean_price_fen: int, multiple: int) -> int:
    """A shortfall's penalty in fen for a multiple within the rule set's range. Public."""
    p = call("rules", "numbers_of", set_id, ("penalty_min_multiple", "penalty_max_multiple"))
    require(multiple >= p[0] and multiple <= p[1], "PENALTY-MULTIPLE")
    require(shortfall_t >= 0 and mean_price_fen >= 0, "PENALTY-NEGATIVE")
    return shortfall_t * mean_price_fen * multiple
