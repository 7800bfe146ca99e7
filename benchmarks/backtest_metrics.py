"""Metrics against other libraries: our value, theirs, and why they differ where they do.

One seeded series of hourly net returns and three awkward ones go through :mod:`alphabook.backtest.metrics`,
``empyrical-reloaded`` and ``quantstats``. Whether two numbers agree is decided here, by 1e-9 of the value; the reasons
are sentences that belong to a difference, and a row whose numbers agree shows none.

Runs in the peers' own environment (``requirements/peers.txt``)::

    .peers/bin/python benchmarks/backtest_metrics.py [--out FILE]
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

from alphabook.backtest import metrics  # noqa: E402
from alphabook.teaching.bench import machine  # noqa: E402

PER_YEAR = 8_760  # hours, of a market that never closes
BARS, SEED = 6_000, 11
SAME = 1e-9


class Row(NamedTuple):
    """A metric by three libraries; ``None`` where a library has none. ``why`` is for those that differ."""

    name: str
    ours: Callable[[], float]
    empyrical: Callable[[], float] | None
    quantstats: Callable[[], float] | None
    why: str = ""


def hourly_returns() -> pd.Series:
    """Net returns with fat tails and clusters of volatility, a third of the bars without a position."""
    rng = np.random.default_rng(SEED)
    size = 0.004 * np.exp(0.5 * np.sin(np.arange(BARS) / 300))
    values = size * rng.standard_t(4, BARS) / math.sqrt(2) + 0.00012
    values[rng.random(BARS) < 1 / 3] = 0.0
    return pd.Series(values, index=pd.date_range("2024-01-01", periods=BARS, freq="h"), name="return")


def rows() -> list[Row]:
    import empyrical as em
    from quantstats import stats as qs

    r = hourly_returns()
    index = r.index
    loss_first = r.iloc[:500].copy()
    loss_first.iloc[0] = -0.10
    curve = 100_000 * (1 + loss_first).cumprod()
    constant = pd.Series(0.001, index=index[:100])
    year: dict[str, Any] = {"annualization": PER_YEAR}
    return [
        Row("total return", lambda: metrics.total_return(r), lambda: em.cum_returns_final(r), lambda: qs.comp(r)),
        Row(
            "CAGR",
            lambda: metrics.annualized_return(r, PER_YEAR),
            lambda: em.annual_return(r, **year),
            lambda: qs.cagr(r, periods=PER_YEAR),
        ),
        Row(
            "volatility",
            lambda: metrics.volatility(r, PER_YEAR),
            lambda: em.annual_volatility(r, **year),
            lambda: qs.volatility(r, periods=PER_YEAR),
        ),
        Row(
            "Sharpe ratio",
            lambda: metrics.sharpe_ratio(r, PER_YEAR),
            lambda: em.sharpe_ratio(r, **year),
            lambda: qs.sharpe(r, periods=PER_YEAR),
        ),
        Row(
            "Sharpe ratio, called without a period",
            lambda: metrics.sharpe_ratio(r, PER_YEAR),
            lambda: em.sharpe_ratio(r),
            lambda: qs.sharpe(r),
            "Both assume 252 bars a year unless told otherwise, whatever the index says. Ours has no default.",
        ),
        Row(
            "Sharpe ratio, riskless rate 3 % a year",
            lambda: metrics.sharpe_ratio(r, PER_YEAR, risk_free=0.03),
            lambda: em.sharpe_ratio(r, risk_free=0.03, **year),
            lambda: qs.sharpe(r, rf=0.03, periods=PER_YEAR),
            "empyrical takes the riskless rate per bar: 0.03 is 3 % an hour. An annual rate has to be brought to one "
            "bar first.",
        ),
        Row(
            "Sortino ratio",
            lambda: metrics.sortino_ratio(r, PER_YEAR),
            lambda: em.sortino_ratio(r, **year),
            lambda: qs.sortino(r, periods=PER_YEAR),
        ),
        Row(
            "Sortino ratio, acceptable return 0.01 % a bar",
            lambda: metrics.sortino_ratio(r, PER_YEAR, acceptable=0.0001),
            lambda: em.sortino_ratio(r, required_return=0.0001, **year),
            lambda: qs.sortino(r, rf=0.0001, periods=PER_YEAR),
            "quantstats calls it rf and reads it as an annual rate: 0.0001 is then 0.01 % a year.",
        ),
        Row(
            "maximum drawdown",
            lambda: _deepest(1e5 * (1 + r).cumprod(), 1e5),
            lambda: -em.max_drawdown(r),
            lambda: -qs.max_drawdown(r),
        ),
        Row(
            "maximum drawdown, 10 % lost in the first bar",
            lambda: _deepest(curve, 1e5),
            lambda: -em.max_drawdown(loss_first),
            lambda: -qs.max_drawdown(loss_first),
        ),
        Row(
            "that drawdown, given as an equity curve",
            lambda: _deepest(curve, 1e5),
            lambda: -em.max_drawdown(curve.pct_change().dropna()),
            lambda: -qs.max_drawdown(curve),
            "A curve that begins after the first bar has forgotten the capital before it. Ours asks for the initial "
            "capital; the others see the first point as the first peak.",
        ),
        Row(
            "Calmar ratio",
            lambda: metrics.annualized_return(r, PER_YEAR) / _deepest((1 + r).cumprod(), 1.0),
            lambda: em.calmar_ratio(r, **year),
            lambda: qs.calmar(r, periods=PER_YEAR),
        ),
        Row(
            "VaR 95 %",
            lambda: metrics.value_at_risk(r),
            lambda: em.value_at_risk(r),
            lambda: qs.value_at_risk(r),
            "quantstats takes the quantile of a normal distribution with the same mean and standard deviation; ours is "
            "the quantile of the returns themselves.",
        ),
        Row(
            "CVaR 95 %",
            lambda: metrics.expected_shortfall(r),
            lambda: em.conditional_value_at_risk(r),
            lambda: qs.conditional_value_at_risk(r),
            "quantstats takes the tail of a normal distribution unless it is given method='historical'.",
        ),
        Row(
            "CVaR 95 %, historical",
            lambda: metrics.expected_shortfall(r),
            lambda: em.conditional_value_at_risk(r),
            lambda: qs.conditional_value_at_risk(r, method="historical"),
        ),
        Row(
            "profit factor of the same list",
            lambda: metrics.profit_factor(r),
            None,
            lambda: qs.profit_factor(r),
        ),
        Row(
            "hit rate of the same list, a third of it zero",
            lambda: float((r > 0).mean()),
            None,
            lambda: qs.win_rate(r),
            "quantstats leaves out the zeros. Ours counts trades, and a trade that ends at zero did not win.",
        ),
        Row(
            "Sharpe ratio of constant returns",
            lambda: metrics.sharpe_ratio(constant, PER_YEAR),
            lambda: em.sharpe_ratio(constant, **year),
            lambda: qs.sharpe(constant, periods=PER_YEAR),
            "There is no spread to divide by. Ours is NaN with a warning; a huge or infinite number would win every "
            "comparison.",
        ),
    ]


def _deepest(curve: pd.Series, initial: float) -> float:
    return float(metrics.drawdown(curve, initial).max())


def same(ours: float, theirs: float) -> bool:
    if math.isnan(ours) or math.isnan(theirs):
        return math.isnan(ours) and math.isnan(theirs)
    return math.isclose(ours, theirs, rel_tol=SAME, abs_tol=1e-15)


def measured(row: Row) -> dict[str, Any]:
    """Values and verdict of one row, ready for JSON."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        values = {
            library: None if function is None else float(function())
            for library, function in (("ours", row.ours), ("empyrical", row.empyrical), ("quantstats", row.quantstats))
        }
    ours = values["ours"]
    assert ours is not None
    theirs = {library: value for library, value in values.items() if library != "ours" and value is not None}
    agreeing = [library for library, value in theirs.items() if same(ours, value)]
    if len(agreeing) == len(theirs):
        verdict = "both" if len(theirs) == 2 else agreeing[0]
    else:
        verdict = f"{agreeing[0]} only" if agreeing else "nobody"
    return {"name": row.name, **{library: _written(value) for library, value in values.items()}, "agrees": verdict}


def _written(value: float | None) -> float | str | None:
    """Numbers stay numbers; what JSON has no word for becomes one, and so does the number that means nothing."""
    if value is None:
        return "no such metric"
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "infinite"
    return f"{value:.1e}" if abs(value) > 1e6 else value


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "backtest_metrics.json")
    out = parser.parse_args().out
    table = [(row, measured(row)) for row in rows()]
    differ = [row for row, values in table if values["agrees"] == "nobody" or values["agrees"].endswith("only")]
    reasons = {row.name: row.why for row in differ if row.why}
    unexplained = [row.name for row in differ if not row.why]
    libraries = ("empyrical-reloaded", "quantstats", "pandas", "numpy")
    part = {
        "setting": {"hourly returns": BARS, "seed": SEED, "bars a year": PER_YEAR, "agree": f"within {SAME:g}"},
        "rows_are": "Metric",
        "rows": [values for _, values in table],
        "reasons": reasons,
        "targets": [
            {"name": "metrics that differ without a known reason", "measured": len(unexplained), "at_most": 0},
        ],
    }
    result = {
        "benchmark": "backtest_metrics",
        "machine": machine(),
        "measured": datetime.now(UTC).strftime("%Y-%m-%d"),
        "command": ".peers/bin/python benchmarks/backtest_metrics.py",
        "versions": ", ".join(f"{name} {version(name)}" for name in libraries),
        "one_definition_each": part,
    }
    out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    for _, values in table:
        print("{name:<48} {ours!s:>24} {empyrical!s:>24} {quantstats!s:>24}  {agrees}".format(**values))
    if unexplained:
        print("differ without a reason:", ", ".join(unexplained))
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
