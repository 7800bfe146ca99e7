"""The bundled sample: small, simulated, regenerable, and refusing what it does not have."""

import json
import shutil

import pandas as pd
import pytest

from alphabook.candles import resample, validate_candles
from alphabook.candles.table import COLUMNS
from alphabook.errors import IntervalError, NoDataError
from alphabook.simulated import compare_facts, load_sample, sample
from alphabook.simulated.sample import FILES, SEED, check_sample, digest, main, sample_dir, write_sample


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    return write_sample(tmp_path_factory.mktemp("sample"))


def test_the_committed_files_equal_a_fresh_simulation(fresh):
    committed = json.loads((sample_dir() / "manifest.json").read_text())
    assert json.loads((fresh / "manifest.json").read_text()) == committed
    assert check_sample() == []


def test_the_committed_files_fit_in_two_megabytes():
    assert sum((sample_dir() / f).stat().st_size for f in FILES.values()) <= 2_000_000


def test_the_manifest_describes_the_files():
    manifest = json.loads((sample_dir() / "manifest.json").read_text())
    assert manifest["seed"] == SEED
    for interval, name in FILES.items():
        candles, entry = load_sample(interval=interval), manifest["files"][name]
        assert entry["rows"] == len(candles)
        assert entry["sha256_of_content"] == digest(candles)
        assert entry["symbols"] == candles["symbol"].unique().tolist()


def test_two_years_of_hours_and_two_months_of_quarters():
    hours, quarters = load_sample(), load_sample(interval="15m")
    assert set(hours["symbol"]) == {"BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "BNBUSDT"}
    assert hours.groupby("symbol").size().unique().tolist() == [731 * 24]
    assert quarters.groupby("symbol").size().unique().tolist() == [61 * 96]
    assert tuple(hours.columns) == COLUMNS
    for table in (hours, quarters):
        assert table.attrs["venue"] == "simulated"
        assert table.attrs["source"] == "simulated null market (seed 7)"
        assert validate_candles(table).issues.empty


def test_quarters_add_up_to_the_hours_exactly():
    summed = resample(load_sample(interval="15m"), "1h")
    hours = load_sample(start="2024-11-01")
    for column in COLUMNS:
        assert (summed[column].to_numpy() == hours[column].to_numpy()).all(), column


def test_the_sample_is_calibrated():
    table = compare_facts({"sample": load_sample()})
    assert table["inside"].all(), table[~table["inside"]].to_string()


def test_selection_is_half_open_and_copies():
    part = load_sample("ETHUSDT,BTCUSDT", "60", "2023-03-01", "2023-03-02")
    assert part["symbol"].unique().tolist() == ["BTCUSDT", "ETHUSDT"]
    assert part["open_time"].min() == pd.Timestamp("2023-03-01", tz="UTC")
    assert part["open_time"].max() == pd.Timestamp("2023-03-01 23:00", tz="UTC")
    part["close"] = 0.0
    assert (load_sample("BTCUSDT", start="2023-03-01", end="2023-03-02")["close"] > 0).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"symbols": "DOGEUSDT"}, "the sample market has no DOGEUSDT; it has BNBUSDT, BTCUSDT"),
        ({"interval": "4h"}, r"has 1h and 15m bars, not 4h; resample them"),
        ({"start": "2030-01-01"}, "no 1h bars from 2030-01-01 to None; they open 2023-01-01 00:00 .. 2024-12-31 23:00"),
        ({"interval": "15m", "end": "2024-01-01"}, "no 15m bars from None to 2024-01-01; they open 2024-11-01"),
    ],
)
def test_what_is_not_there(options, message):
    with pytest.raises(NoDataError, match=message):
        load_sample(**options)


def test_an_interval_that_is_none():
    with pytest.raises(IntervalError, match="7m"):
        load_sample(interval="7m")


def test_absent_files_name_the_command(tmp_path, monkeypatch):
    monkeypatch.setenv("ALPHABOOK_SAMPLE_DIR", str(tmp_path))
    with pytest.raises(NoDataError, match=r"run `python -m alphabook.simulated.sample --write`"):
        load_sample()


def test_the_command_writes_and_checks(tmp_path, monkeypatch, capsys, fresh):
    monkeypatch.setattr(sample, "simulate_sample", lambda: _stored(fresh))
    assert main(["--write", "--folder", str(tmp_path)]) == 0
    assert "wrote sample_1h.parquet, sample_15m.parquet" in capsys.readouterr().out
    assert main(["--check", "--folder", str(tmp_path)]) == 0
    assert "equals a fresh simulation" in capsys.readouterr().out


def test_a_changed_file_is_noticed(tmp_path, monkeypatch, capsys, fresh):
    monkeypatch.setattr(sample, "simulate_sample", lambda: _stored(fresh))
    for file in fresh.iterdir():
        shutil.copy(file, tmp_path)
    table = pd.read_parquet(tmp_path / FILES["1h"])
    table.loc[5, "close"] += table.loc[5, "close"] * 1e-4
    table.to_parquet(tmp_path / FILES["1h"])
    assert main(["--check", "--folder", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert "sample_1h.parquet: content is not the one in manifest.json" in out
    assert "sample_1h.parquet: differs from a fresh simulation" in out
    assert "sample_15m" not in out


def _stored(folder):
    """What a fresh simulation gave, read back (simulating again would only cost time)."""
    read = {i: sample._read(folder / name) for i, name in FILES.items()}
    return sample.SimulatedMarket(candles=read["1h"], truth=None, finer=read["15m"])
