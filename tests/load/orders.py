"""A stream of signed orders around a price, at least half of them priced to fill."""

from random import Random

from carbonnode.chain.transaction import Body, Call, Transaction
from tests.load.accounts import BOOK, Account, nonce_of

MID_FEN = 6_196
ORDER_GAS = 150_000
MARKETABLE = 0.6


def order_call(random: Random, number: int) -> Call:
    """One order: 60 % cross the middle by up to 20 fen, the rest wait up to 200 fen behind it; 1 to 20 t."""
    side = random.choice("BS")
    away = random.randint(0, 20) if random.random() < MARKETABLE else -random.randint(1, 200)
    price = MID_FEN + away if side == "B" else MID_FEN - away
    return Call("matching", "place", (BOOK, side, price, random.randint(1, 20), f"b{number}"))


def sign_orders(chain_id: bytes, accounts: tuple[Account, ...], count: int, *, seed: int, valid_until: int) -> list[Transaction]:
    """`count` orders, each by a random account, signed beforehand."""
    random = Random(seed)
    orders = []
    for number in range(count):
        account = random.choice(accounts)
        call = order_call(random, number)
        body = Body(chain_id, account.signer.public_key, nonce_of(seed, number, valid_until), valid_until, ORDER_GAS, (call,))
        orders.append(Transaction.sign(body, account.signer))
    return orders
