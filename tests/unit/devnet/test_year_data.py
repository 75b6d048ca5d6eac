from pathlib import Path

import pytest

from carbonnode.devnet.year_data import organisation_id, read_prices, read_stations, unit_class
from carbonnode.errors import ConfigError
from carbonnode.resources import genesis_dir

HEAD = "operator,facility,state,primary_fuel,production_mwh,scope1_tco2e,scope2_tco2e\n"
PRICES = "date,open_cny,high_cny,low_cny,close_cny,listed_volume_t\n"


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "given.csv"
    path.write_text(text, "utf-8")
    return path


def test_the_shipped_stations() -> None:
    stations = read_stations(genesis_dir() / "data" / "nger_2017_18_thermal.csv")
    assert len(stations) == 187
    assert stations[0].entity == "ST-001"
    assert stations[0].name == "Bayswater Power Station"
    assert stations[0].power_kwh == 15_545_800_000
    assert sum(s.organisation == "ORIGIN-ENERGY" for s in stations) == 12
    covered = [s for s in stations if s.unit_class and s.scope1_t >= 26_000]
    assert len(covered) == 91
    assert {s.unit_class for s in stations} == {"", "I", "III", "IV"}


def test_the_shipped_prices() -> None:
    days = read_prices(genesis_dir() / "data" / "cea_daily_2025_11.csv")
    assert len(days) == 10
    assert (days[0].open_fen, days[0].high_fen, days[0].low_fen, days[0].close_fen) == (6196, 6794, 6196, 6686)


def test_organisation_ids_drop_the_legal_form() -> None:
    assert organisation_id("ORIGIN ENERGY LIMITED") == "ORIGIN-ENERGY"
    assert organisation_id("BHP BILLITON IRON ORE PTY. LTD.") == "BHP-BILLITON-IRON-ORE"
    assert organisation_id("RATCH - AUSTRALIA CORPORATION LIMITED") == "RATCH-AUSTRALIA-CORPORATION"


def test_unit_classes() -> None:
    assert [unit_class(f) for f in ("Black Coal", "Brown Coal", "Gas", "Coal Seam Methane", "Diesel")] == ["I", "III", "IV", "IV", ""]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (HEAD, "no row"),
        ("operator,facility\nA,B\n", "column state, primary_fuel"),
        (HEAD + "A,B,NSW,Gas,1.5,2,3\n", "line 2: column production_mwh is '1.5'"),
        (HEAD + "A,B,NSW,Gas,1,-2,3\n", "line 2: column scope1_tco2e is -2"),
        (HEAD + "A,B,ZZZ,Gas,1,2,3\n", "state 'ZZZ' is unknown"),
        (HEAD + "A,B,NSW,Gas,1,2,3\nA,B,NSW,Gas,1,2,3\n", "line 3: B of A stands on line 2 already"),
        (HEAD + "A LTD,B,NSW,Gas,1,2,3\nA PTY LTD,C,NSW,Gas,1,2,3\n", "would share the id A"),
        (HEAD + "A,,NSW,Gas,1,2,3\n", "column facility is empty"),
        (HEAD + "A,B,NSW,Gas,1,2,3,4\n", "7 columns are expected"),
        (HEAD + "A,B,NSW,Gas,1,2\n", "7 columns are expected"),
    ],
)
def test_bad_stations_are_named_by_line_and_column(tmp_path: Path, text: str, names: str) -> None:
    with pytest.raises(ConfigError, match=names):
        read_stations(write(tmp_path, text))


@pytest.mark.parametrize(
    ("row", "names"),
    [
        ("2025-13-01,1,1,1,1,5", "isn't YYYY-MM-DD"),
        ("2025-12-01,1.001,1,1,1,5", "at most two decimals"),
        ("2025-12-01,2,1,1,1,5", "between low and high"),
        ("2025-12-01,x,1,1,1,5", "column open_cny is 'x'"),
        ("2025-12-01,1,1,1,1,0", "must be positive"),
        ("2025-11-01,1,1,1,1,5\n2025-11-01,1,1,1,1,5", "line 3: 2025-11-01 doesn't follow"),
    ],
)
def test_bad_prices_are_named(tmp_path: Path, row: str, names: str) -> None:
    with pytest.raises(ConfigError, match=names):
        read_prices(write(tmp_path, PRICES + row + "\n"))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing\.csv: can't be read"):
        read_stations(tmp_path / "nothing.csv")
