"""Prices of a day's orders, such that open, high, low and the volume-weighted average are the day's real figures."""

from collections.abc import Sequence

import msgspec

from carbonnode.devnet.year_data import DayPrice

SPACING_FEN = 2
"""Between neighbouring prices of the bulk, where the day's range has room: leaves each one tick to move by."""


class Rung(msgspec.Struct):
    """One waiting order's price and quantity."""

    price_fen: int
    quantity_t: int
    fixed: bool = False


def price_ladders(price: DayPrice, morning: Sequence[int], afternoon: Sequence[int], *, rising: bool) -> tuple[list[Rung], list[Rung]]:
    """Prices for the quantities that wait in the morning and in the afternoon, in the order in which they trade.

    The morning starts at the open and ends at one extreme, the afternoon ends at the other; all others lie around the close, moved together until
    the average is the close (half up), as far as the day's low and high leave room.
    """
    towards, away = (price.high_fen, price.low_fen) if rising else (price.low_fen, price.high_fen)
    am = [Rung(price.close_fen, quantity) for quantity in morning]
    pm = [Rung(price.close_fen, quantity) for quantity in afternoon]
    am[0] = Rung(price.open_fen, morning[0], fixed=True)
    if len(am) > 1 and towards != price.open_fen:
        am[-1] = Rung(towards, morning[-1], fixed=True)
    if pm and away != price.open_fen:
        pm[-1] = Rung(away, afternoon[-1], fixed=True)
    sign = 1 if rising else -1
    _spread(am, price, sign)
    _spread(pm, price, -sign)
    _balance(am, pm, price)
    # A session's best price trades first: upwards where sellers wait, downwards where buyers wait.
    _sort_bulk(am, sign)
    _sort_bulk(pm, -sign)
    return am, pm


def _bulk(rungs: Sequence[Rung]) -> list[Rung]:
    return [rung for rung in rungs if not rung.fixed]


def _spread(rungs: list[Rung], price: DayPrice, sign: int) -> None:
    """Give the bulk prices of their own around the close, in trading order (`sign` 1: upwards)."""
    bulk = _bulk(rungs)
    room = max(0, price.high_fen - price.low_fen - 2)
    spacing = min(SPACING_FEN, room // max(1, len(bulk)))
    for i, rung in enumerate(bulk):
        rung.price_fen = price.close_fen + sign * spacing * (2 * i - len(bulk) + 1) // 2


def _balance(am: list[Rung], pm: list[Rung], price: DayPrice) -> None:
    """Move the bulk until the average of everything is the close, within the rounding of half a fen."""
    every = am + pm
    bulk = sorted(_bulk(every), key=lambda rung: rung.price_fen)
    volume, weight = sum(r.quantity_t for r in every), sum(r.quantity_t for r in bulk)
    if not bulk:
        return
    excess = sum(r.quantity_t * (r.price_fen - price.close_fen) for r in every)
    shift = -(excess // weight)
    shift = max(shift, price.low_fen - bulk[0].price_fen)
    shift = min(shift, price.high_fen - bulk[-1].price_fen)
    for rung in bulk:
        rung.price_fen += shift
    # What is left is less than one fen on the whole bulk: take it from single rungs, the lowest first, so that prices stay apart.
    excess += shift * weight
    for rung in bulk:
        if 2 * excess < volume or rung.price_fen <= price.low_fen:
            break
        rung.price_fen -= 1
        excess -= rung.quantity_t


def _sort_bulk(rungs: list[Rung], sign: int) -> None:
    """Order the bulk's prices in trading order; quantities and their owners stay where they are only if prices already do."""
    prices = [r.price_fen for r in rungs]
    if prices != sorted(prices, reverse=sign < 0):
        ordered = sorted(rungs, key=lambda rung: sign * rung.price_fen)
        for rung, new in zip(rungs, [(r.price_fen, r.fixed) for r in ordered], strict=True):
            rung.price_fen, rung.fixed = new
