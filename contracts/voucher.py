"""Carbon trading voucher codes (grammar version 1), the records behind them, and their check.

IEEE Std 3218-2022: 8.9, 8.7 e to g. A code is 36 characters of [0-9A-Z], hyphens for display only:
`VT-VENU-YYYYMMDD-HHMMSS-INSVV-NNNNNNNN-L-KK`: version, type, venue, date and time of the market's time zone from block time, instrument
and vintage, gap-free number of venue and day, part, and check characters by ISO 7064 MOD 1271-36. No party, price or quantity stands in it.
Types: T trade, B block deal, A auction, S surrender, R voluntary cancellation, I issue, K carry-over, P pledge, F freeze,
C carbon consumption, X correction. Parts: 0 whole, 1 buyer's, 2 seller's.
"""

EXCHANGE_OR_REGISTRY = 12
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
TYPES = "TBASRIKPFCX"
EXCHANGE_TYPES = "TBA"
MODULUS = 1271
CODE_LENGTH = 36
MAX_NUMBER = 99999999
NO_VENUE = (0, 0, "", 0, 0, "", "", "", 0)
MS_A_DAY = 86400000
# Where a code has digits (date, time, vintage, number, part) and letters (country, instrument) only.
DIGITS = (6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33)
LETTERS = (2, 3, 20, 21, 22)
# 36 ** n % 1271: what moves a value n characters to the left.
SHIFT_2 = 25
SHIFT_3 = 900
SHIFT_5 = 893
SHIFT_6 = 373
SHIFT_8 = 428
SHIFT_12 = 590

# venue -> (day, last number, venue and date as text, their value modulo 1271,
#  then of the last codes: time_ms, type, book, their text before the number, its value shifted to stand before it)
venues = Map(str, tuple)
# venue, day, number -> (type, time_ms, height, book, quantity_t, price_fen, from, to, ref, status, other voucher)
records = Map(str, int, int, tuple)
# venue, day -> day and number of the last voucher before that day
links = Map(str, int, tuple)
# book -> (instrument and vintage as they stand in a code, their value modulo 1271)
marks = Map(str, tuple)
# (venue of the exchange, venue of the registry, offset of the market's time zone in ms)
setup = Var(tuple)


def value_of(text: str) -> int:
    total = 0
    for i in range(len(text)):
        digit = ALPHABET.find(text[i])
        require(digit >= 0, "VOUCHER-CHARACTER")
        total = (total * 36 + digit) % MODULUS
    return total


def check_characters(value: int) -> str:
    # X and Y with value * 36^2 + 36 X + Y = 1 modulo 1271; 1271 and above never come out.
    rest = (1 - value * SHIFT_2) % MODULUS
    return ALPHABET[rest // 36] + ALPHABET[rest % 36]


def value_of_pairs(high: int, middle: int, low: int) -> int:
    # Pairs of decimal digits read as base 36: 36 a + b = (10 a + b) + 26 a.
    return ((high + high // 10 * 26) * 1296 + middle + middle // 10 * 26) * 1296 + low + low // 10 * 26


def without_hyphens(code: str) -> str:
    return "".join(code.split("-")) if "-" in code else code


def configured() -> tuple:
    known = setup.get(())
    if len(known) == 0:
        exchange = call("rules", "text", "", "venue_exchange")
        registry = call("rules", "text", "", "venue_registry")
        require(len(exchange) == 4 and len(registry) == 4 and exchange != registry, "VOUCHER-VENUE")
        known = (exchange, registry, call("rules", "number", "", "market_utc_offset_ms"))
        setup.set(known)
    return known


def open_day(venue: str, day: int, before: tuple) -> tuple:
    links[venue, day] = (before[0], before[1])
    date = call("rules", "date_of", day)
    text = venue + str(date[0] * 10000 + date[1] * 100 + date[2])
    return (day, 0, text, value_of(text), 0, "", "", "", 0)


def mark_of(book: str) -> tuple:
    mark = marks.get(book, ())
    if len(mark) == 0:
        parts = book.split("-")
        require(len(parts) == 2 and len(parts[0]) == 3 and len(parts[1]) == 4, "VOUCHER-BOOK")
        text = parts[0] + parts[1][2:]
        mark = (text, value_of(text))
        marks[book] = mark
    return mark


def venue_now(venue: str, kind: str, book: str) -> tuple:
    # The venue's record with the text that all vouchers of this moment, type and book share: one block's codes build it once.
    now = venues.get(venue, NO_VENUE)
    if now[4] == ctx.time and now[5] == kind and now[6] == book:
        return now
    offset_ms = configured()[2]
    day = (ctx.time + offset_ms) // MS_A_DAY
    if now[0] != day:
        now = open_day(venue, day, now)
    stem = stem_of(kind, now, offset_ms, mark_of(book))
    return (now[0], now[1], now[2], now[3], ctx.time, kind, book, stem[0], stem[1])


def with_number(now: tuple, number: int) -> tuple:
    return (now[0], number, now[2], now[3], now[4], now[5], now[6], now[7], now[8])


def stem_of(kind: str, venue: tuple, offset_ms: int, mark: tuple) -> tuple:
    seconds = (ctx.time + offset_ms) % MS_A_DAY // 1000
    h = seconds // 3600
    m = seconds // 60 % 60
    s = seconds % 60
    value = (36 + ALPHABET.find(kind)) * SHIFT_12 + venue[3]
    value = (value * SHIFT_6 + value_of_pairs(h, m, s)) * SHIFT_5 + mark[1]
    text = "1" + kind + venue[2] + str(1000000 + h * 10000 + m * 100 + s)[1:] + mark[0]
    return (text, value % MODULUS * SHIFT_8)


def finish(text: str, stem: int, number: int) -> str:
    # The code of a whole voucher (part 0).
    low = number % 1000000
    value = stem + (number // 1000000 + number // 10000000 * 26) * SHIFT_6 + value_of_pairs(low // 10000, low // 100 % 100, low % 100)
    rest = (1 - value * SHIFT_3) % MODULUS
    return text + str(1000000000 + 10 * number)[1:] + ALPHABET[rest // 36] + ALPHABET[rest % 36]


def record_voucher(venue: str, kind: str, content: tuple, other: str) -> str:
    # content: book, quantity_t, price_fen, from, to, ref
    now = venue_now(venue, kind, content[0])
    number = now[1] + 1
    require(number <= MAX_NUMBER, "VOUCHER-DAY-FULL")
    venues[venue] = with_number(now, number)
    records[venue, now[0], number] = (kind, ctx.time, ctx.height) + content + ("valid", other)
    return finish(now[7], now[8], number)


@export
def issue(kind: str, book: str, quantity_t: int, price_fen: int, giver: str, taker: str, ref: str) -> str:
    """Issue one voucher for an act of the registry; for the other contracts of the market. Returns its code."""
    require(ctx.caller == "allowance" or ctx.caller == "compliance", "ACCESS-CALLER")
    require(len(kind) == 1 and kind in TYPES and kind != "X", "VOUCHER-TYPE")
    require(len(ref) <= 200, "VOUCHER-REFERENCE")
    known = configured()
    venue = known[0] if kind in EXCHANGE_TYPES else known[1]
    return record_voucher(venue, kind, (book, quantity_t, price_fen, giver, taker, ref), "")


@export
def issue_trades(side: str, book: str, taker: str, fills: tuple) -> tuple:
    """Issue a voucher for each fill of one taker: (maker, org, price, quantity, ...) flat. Returns day, first number and the codes."""
    require(ctx.caller == "execution", "ACCESS-CALLER")
    venue = configured()[0]
    now = venue_now(venue, "T", book)
    number = int(now[1])
    day = now[0]
    buys = side == "B"
    codes = []
    for i in range(0, len(fills), 4):
        number += 1
        maker = fills[i]
        giver = maker if buys else taker
        receiver = taker if buys else maker
        records[venue, day, number] = ("T", ctx.time, ctx.height, book, fills[i + 3], fills[i + 2], giver, receiver, side, "valid", "")
        codes.append(finish(now[7], now[8], number))
    require(number <= MAX_NUMBER, "VOUCHER-DAY-FULL")
    venues[venue] = with_number(now, number)
    return tuple(codes)


def fields_of(code: str) -> tuple:
    # (version, type, venue, date, time, instrument, vintage, number, part, check), refused unless every field is well formed.
    plain = without_hyphens(code)
    require(len(plain) == CODE_LENGTH, "VOUCHER-LENGTH")
    value = value_of(plain[:34])
    require(plain[:1] == "1", "VOUCHER-VERSION")
    require(plain[1:2] in TYPES, "VOUCHER-TYPE")
    value_of(plain[34:])
    require(check_characters(value) == plain[34:], "VOUCHER-CHECK")
    for place in DIGITS:
        require(plain[place] <= "9", "VOUCHER-DIGITS")
    for place in LETTERS:
        require(plain[place] >= "A", "VOUCHER-LETTERS")
    date = int(plain[6:14])
    day = call("rules", "day_of", date // 10000, date // 100 % 100, date % 100)
    back = call("rules", "date_of", day)
    require(back[0] * 10000 + back[1] * 100 + back[2] == date, "VOUCHER-DATE")
    require(plain[14:16] < "24" and plain[16:18] < "60" and plain[18:20] < "60", "VOUCHER-TIME")
    require(int(plain[25:33]) > 0, "VOUCHER-NUMBER")
    require(plain[33:34] <= "2", "VOUCHER-PART")
    return (1, plain[1:2], plain[2:6], plain[6:14], plain[14:20], plain[20:23], plain[23:25], int(plain[25:33]), int(plain[33:34]), plain[34:])


def place_of(code: str) -> tuple:
    # (venue, day, number) under which a code's record lies, if there is one and the code is the one that was issued for it.
    f = fields_of(code)
    date = int(f[3])
    day = call("rules", "day_of", date // 10000, date // 100 % 100, date % 100)
    if (f[2], day, f[7]) not in records:
        return ()
    r = records[f[2], day, f[7]]
    if code_of(f[2], day, f[7], r, f[8]) != without_hyphens(code):
        return ()
    return (f[2], day, f[7])


def code_of(venue: str, day: int, number: int, r: tuple, part: int) -> str:
    date = call("rules", "date_of", day)
    seconds = (r[1] + setup.get()[2]) % MS_A_DAY // 1000
    clock = seconds // 3600 * 10000 + seconds // 60 % 60 * 100 + seconds % 60
    book = r[3].split("-")
    text = "1" + r[0] + venue + str(date[0] * 10000 + date[1] * 100 + date[2]) + str(1000000 + clock)[1:] + book[0] + book[1][2:]
    text = text + str(100000000 + number)[1:] + str(part)
    return text + check_characters(value_of(text))


@export
def correct(code: str, reason: str) -> str:
    """Issue a correction that names the original, which is superseded; history is never rewritten. Returns the X voucher's code."""
    call("identity", "authorise", ctx.sender, EXCHANGE_OR_REGISTRY)
    require(len(reason) >= 1 and len(reason) <= 200, "VOUCHER-REASON")
    place = place_of(code)
    require(len(place) == 3, "VOUCHER-UNKNOWN")
    r = records[place[0], place[1], place[2]]
    require(r[9] == "valid", "VOUCHER-SUPERSEDED")
    original = code_of(place[0], place[1], place[2], r, 0)
    correction = record_voucher(place[0], "X", (r[3], r[4], r[5], r[6], r[7], reason), original)
    records[place[0], place[1], place[2]] = r[:9] + ("superseded", correction)
    for party in (r[6], r[7]):
        if party != "":
            emit("VoucherCorrected", to=call("identity", "org_of", party), entity=party, original=original, correction=correction, reason=reason)
    return correction


@view
def parse(code: str) -> tuple:
    """(version, type, venue, date, time, instrument, vintage, number, part, check) of a well-formed code; refused with the field's code."""
    return fields_of(code)


@view
def check(code: str) -> str:
    """What a code is worth: "valid", "superseded" or "unknown"; refused if it isn't well formed. Public."""
    place = place_of(code)
    if len(place) != 3:
        return "unknown"
    return records[place[0], place[1], place[2]][9]


@view
def part_code(code: str, part: int) -> str:
    """The code of the same voucher's other part: 0 whole, 1 the buyer's, 2 the seller's."""
    require(part >= 0 and part <= 2, "VOUCHER-PART")
    fields_of(code)
    text = without_hyphens(code)[:33] + str(part)
    return text + check_characters(value_of(text))


@view
def record(code: str) -> tuple:
    """(code, type, time_ms, height, book, quantity_t, price_fen, from, to, ref, status, other voucher, voucher before); for parties and members."""
    place = place_of(code)
    require(len(place) == 3, "VOUCHER-UNKNOWN")
    r = records[place[0], place[1], place[2]]
    own = call("identity", "may_read", ctx.sender, r[6]) or call("identity", "may_read", ctx.sender, r[7])
    require(own, "ACCESS-READ")
    return (code_of(place[0], place[1], place[2], r, 0),) + r + (previous(place[0], place[1], place[2]),)


def previous(venue: str, day: int, number: int) -> str:
    # The voucher before this one at its venue, over a day's start too; "" before the first of all.
    if number > 1:
        return code_of(venue, day, number - 1, records[venue, day, number - 1], 0)
    link = links[venue, day]
    if link[1] == 0:
        return ""
    return code_of(venue, link[0], link[1], records[venue, link[0], link[1]], 0)


@view
def trades(day: int, after: int, limit: int) -> tuple:
    """(number, book, quantity_t, seller, buyer, ...) of the exchange's trades of a day, in order; for settlement."""
    require(ctx.caller == "execution", "ACCESS-CALLER")
    venue = configured_venue()
    found = []
    number = records.next(venue, day, after)
    while number is not None and len(found) < 5 * limit:
        r = records[venue, day, number]
        if r[0] == "T":
            found.extend([number, r[3], r[4], r[6], r[7]])
        else:
            found.extend([number, "", 0, "", ""])
        number = records.next(venue, day, number)
    return tuple(found)


def configured_venue() -> str:
    known = setup.get(())
    return known[0] if len(known) == 3 else ""


@view
def page(venue: str, day: int, after: int, limit: int) -> tuple:
    """Codes of a venue's vouchers of a day above number `after`, in order; for members."""
    call("identity", "check_reader", ctx.sender, "")
    found = []
    number = records.next(venue, day, after)
    while number is not None and len(found) < limit:
        found.append(code_of(venue, day, number, records[venue, day, number], 0))
        number = records.next(venue, day, number)
    return tuple(found)


@view
def last_number(venue: str, day: int) -> int:
    """How many vouchers a venue has issued on a day: its numbers run from 1 to this without gaps. Public."""
    number = records.prev(venue, day, None)
    return 0 if number is None else number


@view
def make(kind: str, venue: str, date: str, clock: str, mark: str, number: int, part: int) -> str:
    """Build a code of these fields with its check characters, for checking a generator against this one; issues nothing."""
    text = "1" + kind + venue + date + clock + mark + str(100000000 + number)[1:] + str(part)
    code = text + check_characters(value_of(text))
    fields_of(code)
    return code
