"""Who takes part: entities, their accounts, keys and representatives, roles, registration and review, freezing, credit record.

IEEE Std 3218-2022: 8.2 and Table 2 (registration), 8.10 e (roles), 5.2 (least privilege), 8.7 d (credit), 7.4 Table 1 r1, r6.
Private registration data (address, papers, bank data) is on the chain as hashes only; the documents stay off it, encrypted per recipient.
Account numbers follow `CC-TTT-N-P-KK`: KK = 98 - (D mod 97) over number, country (A = 10), type, period as two digits and `00`.
"""

AUTHORITY = 1
EXCHANGE = 4
STAFF = 31
READ = 1
INITIATE = 2
APPROVE = 4
FULL = 7
CREDIT_BAR = 4
ACTIVE = "active"
FOREVER = 1 << 62
REGISTRY_ACCOUNT = 100
TRADING_ACCOUNT = 120
REPORTING_ACCOUNT = 130
PERIOD = 2
FIRST_NUMBER = 900000000

# entity -> (org, status, bars, kind, roles): what every transaction asks for.
entities = Map(str, tuple)
# entity -> (name, industry, region, six document hashes, applied_ms, decided_ms, opinion hash): Table 2 of the standard.
profiles = Map(str, tuple)
# entity -> (registry, trading, reporting account number)
account_numbers = Map(str, tuple)
accounts = Map(str, str)
# key -> (entity, rights, valid until ms)
keys = Map(bytes, tuple)
credit_heads = Map(str, tuple)
credit_records = Map(str, int, tuple)
counters = Var(tuple)


def check_id(text: str) -> None:
    require(len(text) >= 1 and len(text) <= 48, "IDENTITY-ID")
    for i in range(len(text)):
        c = text[i]
        require(c >= "0" and c <= "9" or c >= "A" and c <= "Z" or c == "-", "IDENTITY-ID")


def letter(c: str) -> int:
    position = "ABCDEFGHIJKLMNOPQRSTUVWXYZ".find(c)
    require(position >= 0, "IDENTITY-COUNTRY")
    return position + 10


def format_account(country: str, kind: int, number: int) -> str:
    text = str(number) + str(letter(country[0])) + str(letter(country[1])) + str(kind) + "0" + str(PERIOD) + "00"
    check = 98 - int(text) % 97
    return country + "-" + str(kind) + "-" + str(number) + "-" + str(PERIOD) + "-" + str(100 + check)[1:]


def key_entry(key: bytes) -> tuple:
    entry = keys.get(key, ())
    require(len(entry) == 3, "ACCESS-UNKNOWN-KEY")
    require(ctx.time < entry[2], "ACCESS-KEY-EXPIRED")
    return entry


def entity_entry(entity: str) -> tuple:
    entry = entities.get(entity, ())
    require(len(entry) == 5, "IDENTITY-UNKNOWN")
    return entry


def staff_entity(key: bytes, roles: int) -> str:
    entry = key_entry(key)
    require(entry[1] & INITIATE != 0, "ACCESS-RIGHT")
    record = entity_entry(entry[0])
    require(record[4] & roles != 0, "ACCESS-ROLE")
    require(record[1] == ACTIVE, "ACCESS-SUSPENDED")
    return entry[0]


@export
def genesis_member(entity: str, name: str, roles: int, key: bytes) -> None:
    """Enter a management member (authority, verifier, exchange, registry, cash operator) with its first key; only in genesis."""
    require(ctx.height == 0, "ACCESS-GENESIS")
    check_id(entity)
    require(entity not in entities, "IDENTITY-EXISTS")
    require(roles > 0 and roles <= STAFF, "IDENTITY-ROLES")
    require(key not in keys, "IDENTITY-KEY-USED")
    entities[entity] = (entity, ACTIVE, 0, "management", roles)
    profiles[entity] = (name, "", 0, b"", b"", b"", b"", b"", b"", ctx.time, ctx.time, b"")
    keys[key] = (entity, FULL, FOREVER)
    count = counters.get((0, 0, 0))
    counters.set((count[0], count[1], count[2] + 1))


def enter(entity: str, org: str, kind: str, key: bytes, details: tuple) -> None:
    check_id(entity)
    check_id(org)
    require(kind == "emitter" or kind == "institution" or kind == "individual" or kind == "project", "IDENTITY-KIND")
    require(len(details[0]) >= 1 and len(details[0]) <= 200, "IDENTITY-NAME")
    require(len(details[1]) >= 1, "IDENTITY-INDUSTRY")
    require(details[2] >= 1 and details[2] <= 99, "IDENTITY-REGION")
    require(entity not in entities, "IDENTITY-EXISTS")
    # An organisation's name in `to` decides who reads an event: nobody takes a management member's.
    require(len(entities.get(org, ())) == 0 or entities[org][4] == 0, "IDENTITY-ORGANISATION")
    require(len(key) == 32, "IDENTITY-KEY")
    require(key not in keys, "IDENTITY-KEY-USED")
    entities[entity] = (org, "applied", 0, kind, 0)
    profiles[entity] = details
    keys[key] = (entity, FULL, FOREVER)
    count = counters.get()
    counters.set((count[0] + 1, count[1], count[2]))


@export
def apply(entity: str, org: str, name: str, kind: str, industry: str, region: int, documents: tuple) -> None:
    """Apply for registration, signed by the entity's new key (possession is proved by the signature).

    `documents`: hashes of address, other data, licence, identity paper, power of attorney, bank data (Table 2 #4 to #9).
    """
    require(len(documents) == 6, "IDENTITY-DOCUMENTS")
    for document in documents:
        require(len(document) == 32, "IDENTITY-DOCUMENTS")
    details = (name, industry, region) + documents + (ctx.time, 0, b"")
    enter(entity, org, kind, ctx.sender, details)
    emit("RegistrationApplied", to=org, entity=entity)


def open_accounts(entity: str, opinion: bytes) -> str:
    record = entity_entry(entity)
    require(record[1] == "applied", "IDENTITY-NOT-APPLIED")
    entities[entity] = (record[0], ACTIVE, 0, record[3], 0)
    p = profiles[entity]
    profiles[entity] = p[:10] + (ctx.time, opinion)
    count = counters.get()
    number = FIRST_NUMBER + 3 * count[1] + 1
    counters.set((count[0], count[1] + 1, count[2]))
    country = call("rules", "text", "", "country")
    registry = format_account(country, REGISTRY_ACCOUNT, number)
    trading = format_account(country, TRADING_ACCOUNT, number + 1)
    reporting = format_account(country, REPORTING_ACCOUNT, number + 2) if record[3] == "emitter" else ""
    account_numbers[entity] = (registry, trading, reporting)
    accounts[registry] = entity
    accounts[trading] = entity
    if reporting != "":
        accounts[reporting] = entity
    emit("Registered", to=record[0], entity=entity, registry_account=registry, trading_account=trading, reporting_account=reporting)
    return registry


@export
def approve(entity: str, opinion: bytes) -> str:
    """Approve an application after review; opens the registry, trading and (emitters) reporting account. Returns the registry account number."""
    staff_entity(ctx.sender, AUTHORITY)
    return open_accounts(entity, opinion)


@export
def reject(entity: str, reason: str) -> None:
    """Refuse an application."""
    staff_entity(ctx.sender, AUTHORITY)
    record = entity_entry(entity)
    require(record[1] == "applied", "IDENTITY-NOT-APPLIED")
    entities[entity] = (record[0], "rejected", 0, record[3], 0)
    emit("RegistrationRejected", to=record[0], entity=entity, reason=reason)


@export
def admit(entity: str, org: str, name: str, kind: str, industry: str, region: int, key: bytes, dossier: bytes) -> str:
    """Enter and approve an entity from a dossier that the authority holds (import of an existing register)."""
    staff_entity(ctx.sender, AUTHORITY)
    details = (name, industry, region, dossier, b"", b"", b"", b"", b"", ctx.time, 0, b"")
    enter(entity, org, kind, key, details)
    return open_accounts(entity, dossier)


@export
def add_key(key: bytes, rights: int, until_ms: int) -> None:
    """Give a representative's key rights for the sender's entity until `until_ms` (the power of attorney's end)."""
    entry = key_entry(ctx.sender)
    require(entry[1] & APPROVE != 0, "ACCESS-RIGHT")
    require(rights >= 1 and rights <= FULL, "IDENTITY-RIGHTS")
    require(until_ms > ctx.time and until_ms <= FOREVER, "IDENTITY-KEY-DATES")
    require(len(key) == 32, "IDENTITY-KEY")
    require(key not in keys, "IDENTITY-KEY-USED")
    keys[key] = (entry[0], rights, until_ms)
    emit("KeyAdded", to=entities[entry[0]][0], entity=entry[0], key=key, rights=rights, until_ms=until_ms)


@export
def revoke_key(key: bytes) -> None:
    """End a key's rights now; by its entity's administrator or the authority. The key can't be used again."""
    mine = key_entry(ctx.sender)
    entry = key_entry(key)
    own = mine[0] == entry[0] and mine[1] & APPROVE != 0
    if not own:
        staff_entity(ctx.sender, AUTHORITY)
    require(key != ctx.sender, "IDENTITY-KEY-OWN")
    keys[key] = (entry[0], entry[1], ctx.time)
    emit("KeyRevoked", to=entities[entry[0]][0], entity=entry[0], key=key)


def set_state(entity: str, status: str, bars: int, reason: str) -> None:
    record = entity_entry(entity)
    entities[entity] = (record[0], status, bars, record[3], record[4])
    # The book passes over the resting orders of whoever may not trade.
    try_call("matching", "suspend", entity, status == "frozen" or status == ACTIVE and bars != 0)
    emit("StatusChanged", to=record[0], entity=entity, status=status, bars=bars, reason=reason)


@export
def freeze(entity: str, reason: str) -> None:
    """Suspend an entity with reference to the legal document: it can start nothing until unfrozen."""
    staff_entity(ctx.sender, AUTHORITY | EXCHANGE)
    record = entity_entry(entity)
    require(record[4] == 0, "IDENTITY-MANAGEMENT")
    require(record[1] == ACTIVE, "IDENTITY-STATUS")
    set_state(entity, "frozen", record[2], reason)


@export
def unfreeze(entity: str, reason: str) -> None:
    """Undo `freeze`."""
    staff_entity(ctx.sender, AUTHORITY | EXCHANGE)
    record = entity_entry(entity)
    require(record[1] == "frozen", "IDENTITY-STATUS")
    set_state(entity, ACTIVE, record[2], reason)


@export
def bar(entity: str, bars: int, reason: str) -> None:
    """Bar an entity from buying (1), selling (2) or both (3); 0 lifts the bar."""
    staff_entity(ctx.sender, AUTHORITY | EXCHANGE)
    require(bars >= 0 and bars <= 3, "IDENTITY-BARS")
    record = entity_entry(entity)
    require(record[4] == 0, "IDENTITY-MANAGEMENT")
    set_state(entity, record[1], bars | record[2] & CREDIT_BAR, reason)


@export
def close(entity: str) -> None:
    """Close an entity's accounts; refused while units, cash or obligations remain (orders hold one of the first two)."""
    staff_entity(ctx.sender, AUTHORITY)
    record = entity_entry(entity)
    require(record[1] == ACTIVE or record[1] == "frozen", "IDENTITY-STATUS")
    require(record[4] == 0, "IDENTITY-MANAGEMENT")
    require(not call("allowance", "holds_units", entity), "CLOSE-UNITS-REMAIN")
    require(not call("cash", "holds_cash", entity), "CLOSE-CASH-REMAINS")
    require(not call("compliance", "owes", entity), "CLOSE-OBLIGATION-REMAINS")
    set_state(entity, "closed", 0, "closed")


@export
def record_credit(entity: str, kind: str, points: int, evidence: str) -> int:
    """Enter an untrustworthy act (or its correction, negative points) in the credit record. Returns its number."""
    if ctx.caller != "compliance":
        staff_entity(ctx.sender, AUTHORITY)
    record = entity_entry(entity)
    head = credit_heads.get(entity, (0, 0))
    number = head[0] + 1
    credit_heads[entity] = (number, head[1] + points)
    credit_records[entity, number] = (ctx.time, kind, points, evidence)
    barred = head[1] + points >= call("rules", "number", "", "credit_bar_points")
    if barred != (record[2] & CREDIT_BAR != 0) and record[1] != "closed":
        set_state(entity, record[1], record[2] ^ CREDIT_BAR, "credit record")
    emit("CreditRecorded", to=record[0], entity=entity, kind=kind, points=points, total=head[1] + points)
    return number


@view
def trader(key: bytes, side: int) -> tuple:
    """(entity, org) of a key that may place an order on this side (1 buy, 2 sell) now; the condition check of clause 8.7 c, d."""
    entry = keys.get(key, ())
    require(len(entry) == 3, "ACCESS-UNKNOWN-KEY")
    require(ctx.time < entry[2], "ACCESS-KEY-EXPIRED")
    require(entry[1] & INITIATE != 0, "ACCESS-RIGHT")
    record = entities[entry[0]]
    require(record[1] == ACTIVE, "TRADE-ACCOUNT-NOT-ACTIVE")
    require(record[2] & CREDIT_BAR == 0, "TRADE-CREDIT")
    require(record[2] & side == 0, "TRADE-ACCOUNT-BARRED")
    require(record[4] == 0, "TRADE-MANAGEMENT-ACCOUNT")
    return (entry[0], record[0])


@view
def participant(key: bytes) -> tuple:
    """(entity, org, kind) of an active participant's key that may initiate; management keys are refused."""
    entry = key_entry(key)
    require(entry[1] & INITIATE != 0, "ACCESS-RIGHT")
    record = entity_entry(entry[0])
    require(record[1] == ACTIVE, "ACCESS-SUSPENDED")
    require(record[4] == 0, "ACCESS-MANAGEMENT")
    return (entry[0], record[0], record[3])


@view
def authorise(key: bytes, roles: int) -> str:
    """The entity of a key that has one of these roles; refused otherwise."""
    return staff_entity(key, roles)


@view
def holder(entity: str) -> tuple:
    """(org, status, kind) of an entity that may hold assets; refused for management, unknown, applying or closed entities."""
    record = entity_entry(entity)
    require(record[4] == 0, "IDENTITY-MANAGEMENT")
    require(record[1] == ACTIVE or record[1] == "frozen", "IDENTITY-STATUS")
    return (record[0], record[1], record[3])


@view
def org_of(entity: str) -> str:
    """The organisation that reads an entity's private events."""
    return entity_entry(entity)[0]


def readable(key: bytes, entity: str) -> bool:
    entry = keys.get(key, ())
    if len(entry) != 3 or ctx.time >= entry[2] or entry[1] & READ == 0:
        return False
    reader = entities[entry[0]]
    if reader[1] != ACTIVE and reader[1] != "frozen" and entry[0] != entity:
        return False
    if reader[4] != 0 or entry[0] == entity:
        return True
    target = entities.get(entity, ())
    # Entities of one organisation read each other's data; the authority approved that they belong together.
    return len(target) == 5 and reader[1] == ACTIVE and target[0] == reader[0]


@view
def may_read(key: bytes, entity: str) -> bool:
    """Whether a key may read an entity's private data: its own, its organisation's, or any as a management member. Default deny."""
    return readable(key, entity)


@view
def check_reader(key: bytes, entity: str) -> None:
    """Refuse a reader without the right to an entity's private data."""
    require(readable(key, entity), "ACCESS-READ")


@view
def member_count() -> int:
    """Management members, who vote on rules."""
    return counters.get((0, 0, 0))[2]


@view
def profile(entity: str) -> tuple:
    """(org, name, kind, status, industry, region, roles, bars, registry, trading, reporting number, credit points, applied_ms, decided_ms)."""
    require(readable(ctx.sender, entity), "ACCESS-READ")
    e = entity_entry(entity)
    p = profiles[entity]
    a = account_numbers.get(entity, ("", "", ""))
    points = credit_heads.get(entity, (0, 0))[1]
    return (e[0], p[0], e[3], e[1], p[1], p[2], e[4], e[2], a[0], a[1], a[2], points, p[9], p[10])


@view
def document_hashes(entity: str) -> tuple:
    """Hashes of the registration's documents (address, other, licence, identity, power of attorney, bank)."""
    require(readable(ctx.sender, entity), "ACCESS-READ")
    entity_entry(entity)
    return profiles[entity][3:9]


@view
def status_of(entity: str) -> str:
    """An entity's registration status; public."""
    record = entities.get(entity, ())
    return record[1] if len(record) == 5 else "unknown"


@view
def whoami() -> tuple:
    """(entity, org, rights, roles) of the sender's key."""
    entry = key_entry(ctx.sender)
    record = entity_entry(entry[0])
    return (entry[0], record[0], entry[1], record[4])


@view
def key_of(key: bytes) -> tuple:
    """(entity, org, rights, valid until ms) of a key; for those who may read its entity."""
    entry = keys.get(key, ())
    require(len(entry) == 3, "ACCESS-UNKNOWN-KEY")
    require(readable(ctx.sender, entry[0]), "ACCESS-READ")
    return (entry[0], entities[entry[0]][0], entry[1], entry[2])


@view
def credit(entity: str, number: int) -> tuple:
    """(time_ms, kind, points, evidence) of an entry in the credit record."""
    require(readable(ctx.sender, entity), "ACCESS-READ")
    require((entity, number) in credit_records, "CREDIT-NO-ENTRY")
    return credit_records[entity, number]


@view
def credit_total(entity: str) -> tuple:
    """(entries, points) of the credit record."""
    require(readable(ctx.sender, entity), "ACCESS-READ")
    return credit_heads.get(entity, (0, 0))


@view
def counts() -> tuple:
    """(applications, approved entities, management members)."""
    return counters.get((0, 0, 0))


@view
def account_exists(number: str) -> bool:
    """Whether an account number was given out; public, for checking a counterparty's number."""
    return number in accounts


@view
def account_number(country: str, kind: int, number: int) -> str:
    """The formatted account number with its check digits."""
    return format_account(country, kind, number)
