"""Settlement money: what the cash operator holds for entities, in integer fen.

IEEE Std 3218-2022: 7.4 Table 1 r3 (money management), r12 (clearing and settlement), 8.7 a (payment leg).
Every fen is available, reserved by a buy order or reserved by a withdrawal that isn't paid out yet. deposited = held + withdrawn + penalties.
"""

AUTHORITY = 1
CASH = 16

# entity -> (available, reserved by orders, reserved by withdrawals)
balances = Map(str, tuple)
# (deposited, withdrawn, held, penalties paid to the treasury)
sums = Var(tuple)
withdrawals = Map(int, tuple)
withdrawal_count = Var(int)
deposits = Map(str, int)


@export
def deposit(entity: str, amount_fen: int, ref: str) -> int:
    """Book money received for an entity; `ref` (the bank's reference) is booked once only. Returns the available balance in fen."""
    call("identity", "authorise", ctx.sender, CASH)
    require(amount_fen > 0, "CASH-AMOUNT")
    require(len(ref) >= 1 and len(ref) <= 64, "CASH-REFERENCE")
    require(ref not in deposits, "CASH-DEPOSIT-REPEATED")
    org = call("identity", "holder", entity)[0]
    deposits[ref] = amount_fen
    b = balances.get(entity, (0, 0, 0))
    balances[entity] = (b[0] + amount_fen, b[1], b[2])
    t = sums.get((0, 0, 0, 0))
    sums.set((t[0] + amount_fen, t[1], t[2] + amount_fen, t[3]))
    emit("CashDeposited", to=org, entity=entity, amount_fen=amount_fen, available_fen=b[0] + amount_fen, ref=ref)
    return b[0] + amount_fen


@export
def request_withdrawal(amount_fen: int) -> int:
    """Ask for a payout to the bound bank account; the amount is set aside. Returns the request's number."""
    who = call("identity", "participant", ctx.sender)
    require(amount_fen > 0, "CASH-AMOUNT")
    b = balances.get(who[0], (0, 0, 0))
    require(b[0] >= amount_fen, "CASH-AVAILABLE")
    balances[who[0]] = (b[0] - amount_fen, b[1], b[2] + amount_fen)
    request = withdrawal_count.get(0) + 1
    withdrawal_count.set(request)
    withdrawals[request] = (who[0], amount_fen, "requested", ctx.time)
    emit("WithdrawalRequested", to=who[1], entity=who[0], request=request, amount_fen=amount_fen)
    return request


def open_request(request: int) -> tuple:
    call("identity", "authorise", ctx.sender, CASH)
    w = withdrawals.get(request, ())
    require(len(w) == 4, "CASH-NO-REQUEST")
    require(w[2] == "requested", "CASH-REQUEST-DONE")
    return w


@export
def pay_out(request: int) -> None:
    """Confirm that a requested amount has left by bank."""
    w = open_request(request)
    withdrawals[request] = (w[0], w[1], "paid", ctx.time)
    b = balances[w[0]]
    balances[w[0]] = (b[0], b[1], b[2] - w[1])
    t = sums.get()
    sums.set((t[0], t[1] + w[1], t[2] - w[1], t[3]))
    emit("WithdrawalPaid", to=call("identity", "org_of", w[0]), entity=w[0], request=request, amount_fen=w[1])


@export
def refuse_withdrawal(request: int, reason: str) -> None:
    """Give a requested amount back to the available balance."""
    w = open_request(request)
    withdrawals[request] = (w[0], w[1], "refused", ctx.time)
    b = balances[w[0]]
    balances[w[0]] = (b[0] + w[1], b[1], b[2] - w[1])
    emit("WithdrawalRefused", to=call("identity", "org_of", w[0]), entity=w[0], request=request, amount_fen=w[1], reason=reason)


@export
def reserve(entity: str, amount_fen: int) -> None:
    """Set money aside for a buy order that enters the book."""
    require(ctx.caller == "execution", "ACCESS-CALLER")
    b = balances.get(entity, (0, 0, 0))
    require(b[0] >= amount_fen, "CASH-AVAILABLE")
    balances[entity] = (b[0] - amount_fen, b[1] + amount_fen, b[2])


@export
def release(entity: str, amount_fen: int) -> None:
    """Give back what a buy order that left the book had set aside."""
    require(ctx.caller == "execution", "ACCESS-CALLER")
    b = balances[entity]
    require(b[1] >= amount_fen, "CASH-RESERVED")
    balances[entity] = (b[0] + amount_fen, b[1] - amount_fen, b[2])


@export
def settle(side: str, taker: str, limit_fen: int, quantity_t: int, fills: tuple) -> None:
    """The payment leg of one taker's fills: (maker, org, price, quantity, ...) flat, all at the maker's price.

    A buying taker had reserved its limit price: the difference becomes available again. A selling taker's makers had reserved their own price.
    """
    require(ctx.caller == "execution", "ACCESS-CALLER")
    total = 0
    for i in range(0, len(fills), 4):
        amount = fills[i + 2] * fills[i + 3]
        total += amount
        b = balances.get(fills[i], (0, 0, 0))
        if side == "B":
            balances[fills[i]] = (b[0] + amount, b[1], b[2])
        else:
            require(b[1] >= amount, "CASH-RESERVED")
            balances[fills[i]] = (b[0], b[1] - amount, b[2])
    b = balances.get(taker, (0, 0, 0))
    if side == "B":
        reserved = limit_fen * quantity_t
        require(b[1] >= reserved and reserved >= total, "CASH-RESERVED")
        balances[taker] = (b[0] + reserved - total, b[1] - reserved, b[2])
    else:
        balances[taker] = (b[0] + total, b[1], b[2])


@export
def charge_penalty(entity: str, amount_fen: int) -> None:
    """Pay a penalty from an entity's available balance to the treasury."""
    require(ctx.caller == "compliance", "ACCESS-CALLER")
    b = balances.get(entity, (0, 0, 0))
    require(b[0] >= amount_fen, "CASH-AVAILABLE")
    balances[entity] = (b[0] - amount_fen, b[1], b[2])
    t = sums.get((0, 0, 0, 0))
    sums.set((t[0], t[1], t[2] - amount_fen, t[3] + amount_fen))


@view
def balance(entity: str) -> tuple:
    """(available, reserved by orders, reserved by withdrawals) in fen."""
    call("identity", "check_reader", ctx.sender, entity)
    return balances.get(entity, (0, 0, 0))


@view
def withdrawal(request: int) -> tuple:
    """(entity, amount_fen, state, time_ms) of a withdrawal request."""
    w = withdrawals.get(request, ())
    require(len(w) == 4, "CASH-NO-REQUEST")
    call("identity", "check_reader", ctx.sender, w[0])
    return w


@view
def holds_cash(entity: str) -> bool:
    """Whether an entity has any money here; for the closing of accounts."""
    require(ctx.caller == "identity", "ACCESS-CALLER")
    b = balances.get(entity, (0, 0, 0))
    return b[0] + b[1] + b[2] != 0


@view
def totals() -> tuple:
    """(deposited, withdrawn, held, penalties) in fen; public."""
    return sums.get((0, 0, 0, 0))


@view
def conserved() -> bool:
    """Whether deposited = withdrawn + held + penalties and nothing is negative; must hold after every block."""
    t = sums.get((0, 0, 0, 0))
    return t[0] == t[1] + t[2] + t[3] and min(t) >= 0


@view
def audit(after: str, limit: int) -> tuple:
    """(last entity seen or "" at the end, sum of its page in fen): the sum over all pages must equal `held`. For management members."""
    call("identity", "check_reader", ctx.sender, "")
    total = 0
    entity = balances.next(None if after == "" else after)
    seen = ""
    n = 0
    while entity is not None and n < limit:
        b = balances[entity]
        require(b[0] >= 0 and b[1] >= 0 and b[2] >= 0, "CASH-NEGATIVE")
        total += b[0] + b[1] + b[2]
        seen = entity
        n += 1
        entity = balances.next(entity)
    return (seen if entity is not None else "", total)
