"""A small contract and its second version, for tests of installing, upgrading and rolling back."""

TILL = '''"""A till: who holds how many yuan."""

amounts = Map(str, int)
owner = Var(str)


@init
def setup(name: str) -> None:
    owner.set(name)


@export
def put(who: str, amount: int) -> int:
    amounts[who] = amounts.get(who, 0) + amount
    return amounts[who]


@view
def amount_of(who: str) -> int:
    return amounts.get(who, 0)


@view
def whose() -> str:
    return owner.get()
'''
MIGRATE = '''

@export
def migrate(old_version: int) -> None:
    """From yuan to fen."""
    if old_version == 1:
        who = amounts.next(None)
        while who is not None:
            amounts[who] = amounts[who] * 100
            who = amounts.next(who)
        emit("Migrated", from_version=old_version)
'''
TILL_2 = TILL.replace("how many yuan", "how many fen") + MIGRATE
