"""The clearing rule of a one-way auction with a uniform price: anybody can recompute a result from the revealed bids.

IEEE Std 3218-2022: 8.5, 6.2 c, d. Bids at or above the reserve are served by price, then time; all pay the lowest served bid's price.
"""


@view
def clear(supply_t: int, reserve_fen: int, lot_t: int, bids: tuple) -> tuple:
    """(clearing price in fen, tonnes of each bid in the order given). `bids`: price_fen, quantity_t, ... flat, earliest first.

    Quantities are multiples of the lot; the last bid served may get a part, in whole lots. Nothing served: price 0.
    """
    require(supply_t >= 0 and lot_t > 0 and reserve_fen >= 0, "AUCTION-TERMS")
    require(len(bids) % 2 == 0, "AUCTION-BIDS")
    ranked = []
    for i in range(0, len(bids), 2):
        require(bids[i] > 0 and bids[i + 1] > 0, "AUCTION-BIDS")
        require(bids[i + 1] % lot_t == 0, "AUCTION-LOT")
        if bids[i] >= reserve_fen:
            ranked.append((-bids[i], i))
    left = supply_t // lot_t * lot_t
    awards = {}
    price = 0
    for rank in sorted(ranked):
        if left == 0:
            break
        served = min(left, bids[rank[1] + 1])
        awards[rank[1]] = served
        left -= served
        price = -rank[0]
    found = [price]
    for i in range(0, len(bids), 2):
        found.append(awards.get(i, 0))
    return tuple(found)
