"""Every exhibit is broken, its repaired twin is not, and the detectors know the one from the other."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from alphabook.teaching.museum import (
    CAPITAL,
    DETECTORS,
    Story,
    Tour,
    account,
    cash,
    exhibit,
    exhibits,
    fills,
    limits,
    metrics,
    noise,
    null_markets,
    sharpe,
    tell,
)

FIRES = {
    "own-bar": {"audit", "noise"},
    "day-by-name": {"audit", "noise"},
    "whole-scale": {"audit", "noise"},
    "kind-stop": {"noise"},
    "generous-close": {"cash", "noise"},
    "fee-per-trade": {"cash"},
    "cap": {"limits"},
    "stale-price": {"fills", "noise"},
    "todays-list": {"audit", "noise"},
    "shuffled-split": {"audit", "noise"},
    "best-window": {"audit", "noise"},
    "gross-sharpe": {"metrics"},
    "closed-only": {"cash", "noise"},
    "trade-years": {"metrics"},
}
MISSTATED = ("cap", "trade-years")  # these do not raise the Sharpe ratio of a worthless rule: they misstate something


@pytest.fixture(scope="module")
def tour() -> Tour:
    return Tour(null_markets(40, seed=7))


def test_every_exhibit_is_expected() -> None:
    assert list(exhibits()) == list(FIRES)


@pytest.mark.parametrize("name", FIRES)
def test_detectors_fire_on_the_broken_and_are_silent_on_the_repaired(tour: Tour, name: str) -> None:
    assert {d for d in DETECTORS if tour.found.loc[d, name]} == FIRES[name]
    assert not any(tour.acquitted[name]), tour.acquitted[name].to_dict()


@pytest.mark.parametrize("name", [name for name in FIRES if name not in MISSTATED])
def test_broken_beats_repaired_on_null_markets(tour: Tour, name: str) -> None:
    gain = tour.reported[name] - tour.repaired[name]
    assert gain.mean() > 4 * gain.std() / np.sqrt(len(gain))
    assert tour.repaired[name].mean() < 3 * tour.repaired[name].std() / np.sqrt(len(gain))


def test_what_the_others_misstate(tour: Tour) -> None:
    prices = tour.markets[0]["panel"]
    item = exhibits()["cap"]
    assert item.broken(prices).held.max().max() > 0.5  # under a cap of .3
    assert item.repaired(prices).held.max().max() <= 0.3 + 1e-12
    factor = tour.reported["trade-years"] / tour.repaired["trade-years"]
    assert factor.median() > 2


@pytest.mark.parametrize("name", FIRES)
def test_the_code_fits_its_frame(name: str) -> None:
    item = exhibits()[name]
    lines = item.source.splitlines()
    assert len(lines) <= 12
    assert max(map(len, lines)) <= 100
    assert "#" not in item.source  # the bug is not commented
    assert len(item.lines) == len(item.fix) <= 2


def test_no_test_catches_all() -> None:
    assert all(any(detector not in fires for fires in FIRES.values()) for detector in DETECTORS)
    assert all(any(detector in fires for fires in FIRES.values()) for detector in DETECTORS)


def test_a_fix_must_name_a_line() -> None:
    with pytest.raises(ValueError, match="must occur once"):

        @exhibit("nothing", fix={"no such line": "pass"})
        def nothing(bars):
            return bars

    assert "nothing" not in exhibits()


def small() -> pd.DataFrame:
    times = pd.date_range("2024-01-01", periods=4, freq="h", tz="UTC", name="open_time")
    close = np.array([100.0, 110.0, 99.0, 99.0])
    return pd.DataFrame({"open": close, "high": close + 1, "low": close - 1, "close": close}, index=times)


def test_account_on_paper() -> None:
    bars = small()
    story = account(bars, pd.Series([0.0, 1.0, 1.0, 0.0], bars.index))
    expected = CAPITAL * np.cumprod([1, 1 + 0.1 - 0.0015, 1 - 0.1, 1 - 0.0015])
    assert np.allclose(story.equity, expected)
    returns = story.equity / story.equity.shift(1, fill_value=CAPITAL) - 1
    assert story.sharpe == pytest.approx(returns.mean() / returns.std() * np.sqrt(8760))


def test_fills_on_paper() -> None:
    bars = small()
    story = tell(bars, [(0, 100.0, 100.0), (2, -100.0, 99.5)])
    expected = [CAPITAL - 15, CAPITAL + 985, CAPITAL - 15 - 50 - 14.925, CAPITAL - 15 - 50 - 14.925]
    assert np.allclose(story.equity, expected)
    assert cash(story, bars) == fills(story, bars) == ""
    assert "1 of 2 fills" in fills(tell(bars, [(0, 100.0, 100.0), (2, -100.0, 120.0)]), bars)
    assert "replayed" in cash(tell(bars, story.fills, story.equity + np.arange(4)), bars)


def test_messages_of_limits_and_metrics() -> None:
    bars = small()
    held = pd.Series([0.0, 0.5, 0.5, 0.5], bars.index)
    assert "0.50 under a cap of 0.30" in limits(account(bars, held, cap=0.3), bars)
    two = pd.DataFrame({"a": held * 1.5, "b": held * 1.5})
    assert "add up to 1.50" in limits(Story(bars["close"], held=two), bars)
    assert "reports a Sharpe ratio of 9.00" in metrics(Story(account(bars, held).equity, sharpe=9.0), bars)


def test_noise_and_sharpe() -> None:
    assert noise([1.0, -1.0, 0.5, -0.5]) == ""
    assert "2.00" in noise([2.0, 2.1, 1.9])
    days = pd.Series([0.01, 0.02, 0.03], pd.date_range("2024-01-01", periods=3, tz="UTC"))
    assert sharpe(days) == pytest.approx(2 * np.sqrt(365))
    assert sharpe(days * 0) == 0.0


def test_a_visit(tour: Tour, capsys: pytest.CaptureFixture[str], monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("ALPHABOOK_GUESSES", str(tmp_path / "guesses.json"))
    tour.visit("own-bar", guess=4)
    said = capsys.readouterr().out
    assert " 4      held = signal.fillna(0)" in said
    assert "->  held = signal.shift(1).fillna(0)" in said
    assert "audit:" in said
    assert "as reported" in said
    assert "✓" in said
    tour.visit("own-bar")
    assert "✓" not in capsys.readouterr().out


def test_a_visit_on_a_page(tour: Tour) -> None:
    from alphabook.teaching._museum_page import coloured, verdict

    item = exhibits()["cap"]
    page = verdict(item, {"limits": "a weight < 1"}, (1.0, 2.0))
    assert "a weight &lt; 1" in page
    assert "Line 5" in page
    assert 'class="highlight"' in coloured(item.source)
    assert "linenos" in coloured(item.source)
