"""A community carbon pool. Members pledge tonnes they will save, a steward confirms what was saved, and when the pool closes a reward is shared by that.

Money isn't moved here: `claim` says what a member is owed, once, and the steward pays it.
"""

DAY_MS = 86_400_000
MAX_T = 10 ** 9
MAX_FEN = 10 ** 15

steward = Var(bytes)
reward_fen = Var(int)
closes_ms = Var(int)                    # 0 until the pool is opened
closed = Var(bool)
pledged = Map(bytes, int)               # member -> tonnes promised
confirmed = Map(bytes, int)             # member -> tonnes shown to be saved
claimed = Map(bytes, int)               # member -> fen, written once
totals = Map(str, int)                  # "pledged", "confirmed", "claimed"
members = Var(int)                      # since version 2: how many have a pledge


@init
def setup(steward_key: bytes, reward: int):
    require(len(steward_key) == 32, "pool.steward")
    require(0 < reward and reward <= MAX_FEN, "pool.reward")
    steward.set(steward_key)
    reward_fen.set(reward)


@export
def migrate(old_version: int) -> None:
    """Once, when this version takes effect: count the members that there are."""
    count = 0
    key = pledged.next(None)
    while key is not None:
        count += 1
        key = pledged.next(key)
    members.set(count)


@export
def start(days: int) -> int:
    """The steward opens the pool for a number of days. Returns when it closes."""
    only_steward()
    require(closes_ms.get() == 0, "pool.started")
    require(1 <= days and days <= 366, "pool.days")
    end_ms = ctx.time + days * DAY_MS
    closes_ms.set(end_ms)
    schedule(end_ms, "finish", ())
    emit("PoolOpened", closes_ms=end_ms, reward_fen=reward_fen.get())
    return end_ms


@export
def pledge(tonnes: int) -> int:
    """The sender promises to save so much, beside what was promised before. Returns the sum."""
    require(is_open(), "pool.not-open")
    require(1 <= tonnes and tonnes <= MAX_T, "pool.tonnes")
    if ctx.sender not in pledged:
        members.set(members.get() + 1)
    mine = pledged.get(ctx.sender, 0) + tonnes
    require(mine <= MAX_T, "pool.tonnes")
    pledged[ctx.sender] = mine
    add("pledged", tonnes)
    return mine


@export
def leave() -> None:
    """The sender takes the pledge back, as long as nothing of it is confirmed."""
    require(is_open(), "pool.not-open")
    require(ctx.sender not in confirmed, "pool.confirmed")
    add("pledged", -pledged[ctx.sender])
    del pledged[ctx.sender]
    members.set(members.get() - 1)


@export
def confirm(who: bytes, tonnes: int) -> int:
    """The steward confirms savings of a member, up to what was pledged. Returns the sum."""
    only_steward()
    require(is_open(), "pool.not-open")
    require(tonnes >= 1, "pool.tonnes")
    saved = confirmed.get(who, 0) + tonnes
    require(saved <= pledged.get(who, 0), "pool.beyond-pledge")
    confirmed[who] = saved
    add("confirmed", tonnes)
    return saved


@export
def finish() -> None:
    """Called by the schedule that `start` made, and by nobody else."""
    require(ctx.caller == ctx.self, "pool.not-scheduled")
    closed.set(True)
    emit("PoolClosed", confirmed_t=total("confirmed"), reward_fen=reward_fen.get())


@export
def claim() -> int:
    """What the sender is owed of the reward, in fen, rounded down; once."""
    require(closed.get(), "pool.not-closed")
    require(ctx.sender in confirmed, "pool.nothing-confirmed")
    require(ctx.sender not in claimed, "pool.claimed")
    share = muldiv(reward_fen.get(), confirmed[ctx.sender], total("confirmed"), "floor")
    claimed[ctx.sender] = share
    add("claimed", share)
    return share


@view
def member(key: bytes) -> tuple:
    """(tonnes pledged, tonnes confirmed, fen claimed)."""
    return (pledged.get(key, 0), confirmed.get(key, 0), claimed.get(key, 0))


@view
def summary() -> tuple:
    """(open, closes at, tonnes pledged, tonnes confirmed, fen claimed)."""
    return (is_open(), closes_ms.get(), total("pledged"), total("confirmed"), total("claimed"))


@view
def size() -> int:
    """How many members have a pledge."""
    return members.get()


def only_steward():
    require(ctx.sender == steward.get(), "pool.not-steward")


def is_open() -> bool:
    return closes_ms.get() > 0 and not closed.get()


def add(what: str, amount: int):
    totals[what] = totals.get(what, 0) + amount


def total(what: str) -> int:
    return totals.get(what, 0)
