"""Emission data: monitoring plans, annual reports of output and emissions, the verifier's statement, accounting methods.

IEEE Std 3218-2022: 8.3, 4.5 a, 6.2 a, b, l, 7.4.3, 8.8 a. A correction appends a version; nothing is overwritten. Evidence is on the chain as hashes.
"""

AUTHORITY = 1
VERIFIER = 2
NOT_VERIFIED = -1
DENOMINATOR = 12 * 10 ** 27

# entity, year -> (plan hash, "filed"|"approved", filed_ms, decided_ms)
plans = Map(str, int, tuple)
# entity, year -> (version, scope1_t, scope2_t, evidence, reported_ms, late, verified_t, opinion, statement, verified version)
reports = Map(str, int, tuple)
# entity, year, version -> unit list, flat
unit_lists = Map(str, int, int, tuple)
# entity, year, version -> the figures of that version: (scope1_t, scope2_t, evidence, reported_ms)
versions = Map(str, int, int, tuple)
# method id, version -> (document hash, formula, from_ms)
methods = Map(str, int, tuple)


def emitter() -> tuple:
    who = call("identity", "participant", ctx.sender)
    require(who[2] == "emitter", "REPORT-NO-REPORTING-ACCOUNT")
    return who


@export
def file_plan(year: int, plan_hash: bytes) -> None:
    """File the monitoring plan of a year; a new one replaces one that isn't approved yet."""
    who = emitter()
    require(len(plan_hash) == 32, "REPORT-HASH")
    require(year >= 2000 and year <= 2099, "REPORT-YEAR")
    old = plans.get((who[0], year), ())
    require(len(old) == 0 or old[1] == "filed", "PLAN-APPROVED")
    plans[who[0], year] = (plan_hash, "filed", ctx.time, 0)
    emit("PlanFiled", to=who[1], entity=who[0], year=year)


@export
def approve_plan(entity: str, year: int) -> None:
    """Approve a monitoring plan after review."""
    call("identity", "authorise", ctx.sender, AUTHORITY)
    plan = plans.get((entity, year), ())
    require(len(plan) == 4, "PLAN-MISSING")
    require(plan[1] == "filed", "PLAN-APPROVED")
    plans[entity, year] = (plan[0], "approved", plan[2], ctx.time)
    emit("PlanApproved", to=call("identity", "org_of", entity), entity=entity, year=year)


@export
def report(year: int, scope1_t: int, scope2_t: int, evidence: bytes, units: tuple) -> int:
    """Report a year's emissions and unit data; again after the first time it is a correction. Returns the version.

    `units`: flat, 6 a unit: id, class ("" without a benchmark), power_kwh, heat_mj, load factor x 10^6 (-1: not stated), emissions_kg.
    """
    who = emitter()
    plan = plans.get((who[0], year), ())
    require(len(plan) == 4 and plan[1] == "approved", "REPORT-NO-APPROVED-PLAN")
    require(scope1_t >= 0 and scope2_t >= 0, "REPORT-NEGATIVE")
    require(len(evidence) == 32, "REPORT-HASH")
    call("allocation", "check_units", units)
    old = reports.get((who[0], year), (0, 0, 0, b"", 0, False, NOT_VERIFIED, "", b"", 0))
    version = old[0] + 1
    late = ctx.time >= report_deadline(year)
    reports[who[0], year] = (version, scope1_t, scope2_t, evidence, ctx.time, late) + old[6:]
    unit_lists[who[0], year, version] = units
    versions[who[0], year, version] = (scope1_t, scope2_t, evidence, ctx.time)
    emit("Reported", to=who[1], entity=who[0], year=year, version=version, scope1_t=scope1_t, scope2_t=scope2_t, late=late)
    return version


def report_deadline(year: int) -> int:
    p = call("rules", "numbers_of", "", ("report_month", "report_day", "market_utc_offset_ms"))
    return (call("rules", "day_of", year + 1, p[0], p[1]) + 1) * 86400000 - p[2]


@export
def verify(entity: str, year: int, verified_t: int, opinion: str, statement: bytes) -> None:
    """The verifier's signed statement on the latest report: verified scope 1 emissions. Sets or corrects the obligation at once."""
    call("identity", "authorise", ctx.sender, VERIFIER)
    r = reports.get((entity, year), ())
    require(len(r) == 10, "VERIFY-NO-REPORT")
    require(verified_t >= 0, "REPORT-NEGATIVE")
    require(opinion == "reasonable" or opinion == "qualified" or opinion == "adverse", "VERIFY-OPINION")
    require(len(statement) == 32, "REPORT-HASH")
    reports[entity, year] = r[:6] + (verified_t, opinion, statement, r[0])
    emit("Verified", to=call("identity", "org_of", entity), entity=entity, year=year, verified_t=verified_t, opinion=opinion)
    if opinion != "adverse":
        covered = call("allocation", "has_benchmark", unit_lists[entity, year, r[0]])
        call("compliance", "on_verified", entity, year, verified_t, covered)


@export
def publish_method(method_id: str, version: int, document: bytes, formula: str, from_ms: int) -> None:
    """Publish a version of an accounting method; old reports keep the old one."""
    call("identity", "authorise", ctx.sender, AUTHORITY)
    require((method_id, version) not in methods, "METHOD-EXISTS")
    require(version == 1 or (method_id, version - 1) in methods, "METHOD-VERSION")
    methods[method_id, version] = (document, formula, from_ms)
    emit("MethodPublished", method=method_id, version=version, from_ms=from_ms)


@view
def basis(entity: str, year: int) -> tuple:
    """(verified_t, unit list) that an allocation rests on: the verified version of the report, of a covered emitter."""
    require(ctx.caller == "allowance", "ACCESS-CALLER")
    r = reports.get((entity, year), ())
    require(len(r) == 10 and r[6] != NOT_VERIFIED, "ALLOC-NOT-VERIFIED")
    require(r[7] != "adverse", "ALLOC-ADVERSE-OPINION")
    require(call("compliance", "is_covered", entity, year), "ALLOC-NOT-COVERED")
    return (r[6], unit_lists[entity, year, r[9]])


@view
def report_of(entity: str, year: int) -> tuple:
    """(version, scope1_t, scope2_t, evidence, reported_ms, late, verified_t or -1, opinion, statement, verified version)."""
    call("identity", "check_reader", ctx.sender, entity)
    r = reports.get((entity, year), ())
    require(len(r) == 10, "VERIFY-NO-REPORT")
    return r


@view
def version_of(entity: str, year: int, version: int) -> tuple:
    """(scope1_t, scope2_t, evidence, reported_ms) of an earlier version of a report."""
    call("identity", "check_reader", ctx.sender, entity)
    v = versions.get((entity, year, version), ())
    require(len(v) == 4, "VERIFY-NO-REPORT")
    return v


@view
def units_of(entity: str, year: int) -> tuple:
    """The unit list of the latest report, flat, 6 a unit."""
    call("identity", "check_reader", ctx.sender, entity)
    r = reports.get((entity, year), ())
    require(len(r) == 10, "VERIFY-NO-REPORT")
    return unit_lists[entity, year, r[0]]


@view
def plan_of(entity: str, year: int) -> tuple:
    """(plan hash, "filed"|"approved", filed_ms, decided_ms); empty if there is none."""
    call("identity", "check_reader", ctx.sender, entity)
    return plans.get((entity, year), ())


@view
def method(method_id: str, version: int) -> tuple:
    """(document hash, formula, from_ms) of a published accounting method. Public."""
    m = methods.get((method_id, version), ())
    require(len(m) == 3, "METHOD-MISSING")
    return m


@view
def combustion(set_id: str, streams: tuple) -> tuple:
    """Emissions of fuel streams, exact: (whole tonnes, then each stream's emissions in 1/(12 x 10^27) t).

    `streams`: flat, 6 a stream: fuel, consumption x 10^6, energy of a unit of it in GJ x 10^6 (0: the factor is t CO2 a unit, as for
    power), carbon content in t C/GJ x 10^9 (-1: by factor), factor in t CO2/TJ (or a unit) x 10^6 (-1: the rule set's), oxidation x 10^6.
    E = FC x NCV x CC x OF x 44/12, or FC x NCV x factor x OF. The sum is floored to whole tonnes.
    """
    require(len(streams) > 0 and len(streams) % 6 == 0, "ACCOUNT-STREAMS")
    known = call("rules", "table", set_id, "emission_factors")
    found = []
    total = 0
    for i in range(0, len(streams), 6):
        require(streams[i + 1] >= 0 and streams[i + 2] >= 0, "ACCOUNT-NEGATIVE")
        require(streams[i + 5] >= 0 and streams[i + 5] <= 1000000, "ACCOUNT-OXIDATION")
        amount = streams[i + 1] * streams[i + 5]
        if streams[i + 3] >= 0 and streams[i + 2] > 0:
            exact = amount * streams[i + 2] * streams[i + 3] * 44
        else:
            factor = streams[i + 4] if streams[i + 4] >= 0 else known_factor(known, streams[i])
            # t CO2/TJ = 10^-3 t CO2/GJ: amount 10^12, energy 10^6, factor 10^6 and 10^3 make 10^27.
            exact = amount * factor * (streams[i + 2] * 12 if streams[i + 2] > 0 else 12 * 10 ** 9)
        found.append(exact)
        total += exact
    return (total // DENOMINATOR,) + tuple(found)


def known_factor(known: tuple, fuel: str) -> int:
    for i in range(0, len(known), 2):
        if known[i] == fuel:
            return known[i + 1]
    abort("ACCOUNT-NO-FACTOR")
    return 0
