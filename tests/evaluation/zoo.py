# ruff: noqa: E501
"""A zoo of functions that look ahead, and of others that only look as if they did.

Each entry is ``name: (function, data, settings of the audit)``. The leaks are the ones found in published code:
features, labels, scalers, joins, stops, signals, strategies and folds.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from backtest.market import random_signals, wild_candles

from alphabook.backtest import BacktestConfig, backtest_signals, entry_fractions, funding_per_bar
from alphabook.backtest.engine import confirmed
from alphabook.candles import as_candles, asof_join, resample
from alphabook.evaluation import combinatorial_splits, purged_splits, walk_forward

ROWS = 320
ONE = wild_candles(ROWS, 3, volatility=0.01)  # index: open times
ONE["volume"] = np.random.default_rng(3).uniform(1, 9, ROWS)
SERIES = ONE["close"]
ARRAY = ONE[["close", "volume"]].to_numpy()


def _table(symbol: str, seed: int, interval: str, bars: int) -> pd.DataFrame:
    frame = wild_candles(bars, seed, volatility=0.01).assign(volume=1.0)
    frame.index = pd.date_range("2024-01-01", periods=bars, freq={"15m": "15min", "1h": "h"}[interval], tz="UTC")
    return as_candles(frame, interval=interval, symbol=symbol)


FINE, COARSE = _table("BTCUSDT", 1, "15m", ROWS), _table("BTCUSDT", 2, "1h", ROWS // 4)
TWO_CLOCKS = {"fine": FINE, "coarse": COARSE}
PANEL = pd.concat([_table("BTCUSDT", 4, "1h", 200), _table("ETHUSDT", 5, "1h", 200)], ignore_index=True)
PANEL.attrs["interval"] = "1h"
SIGNALS = random_signals(ONE.index, 3)


def ret(d):
    return d["close"].pct_change()


def _fit(train, d):
    """Least squares on ``train``, predictions for all of ``d``: next return from the last three."""

    def design(x):
        r = ret(x)
        return pd.concat([r.shift(k) for k in range(3)], axis=1)

    x, y = design(train), ret(train).shift(-1)
    ok = x.notna().all(axis=1) & y.notna()
    beta = np.linalg.lstsq(x[ok].to_numpy(), y[ok].to_numpy(), rcond=None)[0]
    return pd.Series(design(d).to_numpy() @ beta, index=d.index)


def _rsi(d, n=14, shift=0):
    move = d["close"].diff().shift(-shift)
    up, down = move.clip(lower=0).ewm(alpha=1 / n).mean(), (-move).clip(lower=0).ewm(alpha=1 / n).mean()
    return 100 - 100 / (1 + up / down)


def _zigzag(d, window=3):
    """Local maxima, marked at the bar of the maximum: only a later bar can know that it was one."""
    high = d["high"]
    return (high == high.rolling(2 * window + 1, center=True).max()).astype(float)


def _shape(values, index):
    return pd.Series(values, index=index)


def _loop_stop(d, peek):
    """Always long; out for the bar whose return is below -1 %, judged by that very bar (peek) or by the one before."""
    r = ret(d).fillna(0)
    judged = r if peek else r.shift(1).fillna(0)
    return (judged > -0.01).astype(float)


def _equity(d, delay):
    position = np.sign(ret(d)).shift(delay).fillna(0)
    return (1 + position * ret(d).fillna(0)).cumprod()


def _engine(d, signal):
    """Equity of the package's engine on any candles."""
    return backtest_signals(d, signal(d).fillna(0).astype(int), BacktestConfig(allow_short=True), loop="plain").equity


def _naive_join(tables):
    """The hour that contains the quarter, by its name: it is known up to 45 minutes later."""
    fine, coarse = tables["fine"], tables["coarse"]
    hour = fine["open_time"].dt.floor("h")
    return pd.Series(hour.map(coarse.set_index("open_time")["close"]).to_numpy(), index=fine.index, name="hour")


def _merge_on_open(tables):
    out = pd.merge_asof(tables["fine"][["open_time"]], tables["coarse"][["open_time", "close"]], on="open_time")
    return out["close"]


def _asof(tables):
    joined = asof_join(tables["fine"], tables["coarse"], suffix="_1h")
    return joined["close_1h"]


def _resampled(d, named_right):
    """An hour made of quarters, given to each quarter: by the hour's name, or once the hour is over."""
    hours = d.set_index("open_time")["close"].resample("h").last()
    if named_right:
        hours = hours.shift(1)
    return pd.Series(hours.reindex(d["open_time"].dt.floor("h")).to_numpy(), index=d.index, name="hour")


def _by_symbol(d, how):
    return d.groupby("symbol")["close"].transform(how)


def _wide(d):
    return d.pivot(index="open_time", columns="symbol", values="close")


LEAKS = {
    # features
    "next return": (lambda d: ret(d).shift(-1), ONE, {}),
    "change to the next bar": (lambda d: d["close"].shift(-1) / d["close"] - 1, ONE, {}),
    "centred mean": (lambda d: d["close"].rolling(5, center=True).mean(), ONE, {}),
    "centred standard deviation": (lambda d: ret(d).rolling(21, center=True).std(), ONE, {}),
    "backward fill": (lambda d: d["close"].where(d["volume"] > 5).bfill(), ONE, {}),
    "interpolation": (lambda d: d["close"].where(d["volume"] > 5).interpolate(), ONE, {}),
    "convolution of both sides": (lambda d: np.convolve(d["close"], np.ones(5) / 5, mode="same"), ONE, {}),
    "Fourier filter": (lambda d: np.fft.irfft(np.fft.rfft(d["close"]) * (np.arange(len(d) // 2 + 1) < 9), len(d)), ONE, {}),
    "filter forward and backward": (lambda d: d["close"].ewm(span=5).mean()[::-1].ewm(span=5).mean()[::-1], ONE, {}),
    "polynomial trend": (lambda d: np.polyval(np.polyfit(np.arange(len(d)), d["close"], 2), np.arange(len(d))), ONE, {}),
    "detrended": (lambda d: d["close"] - np.linspace(d["close"].iloc[0], d["close"].iloc[-1], len(d)), ONE, {}),
    "gradient": (lambda d: np.gradient(d["close"].to_numpy()), ONE, {}),
    "distance to the next high": (lambda d: d["high"][::-1].rolling(5, min_periods=1).max()[::-1] - d["close"], ONE, {}),
    "zigzag at the pivot": (_zigzag, ONE, {}),
    "indicator of a shifted price": (lambda d: _rsi(d, shift=1), ONE, {}),
    "rank in the whole history": (lambda d: d["volume"].rank(pct=True), ONE, {}),
    "decile of the whole history": (lambda d: pd.qcut(d["volume"], 10, labels=False), ONE, {}),
    "share of the total volume": (lambda d: d["volume"] / d["volume"].sum(), ONE, {}),
    "distance to the all-time high of the table": (lambda d: d["close"] / d["high"].max(), ONE, {}),
    "winsorised by quantiles of all": (lambda d: ret(d).clip(*ret(d).quantile([0.05, 0.95])), ONE, {}),
    "holes filled with the mean": (lambda d: d["volume"].where(d["volume"] > 4).fillna(d["volume"].mean()), ONE, {}),
    "singular vectors": (lambda d: np.linalg.svd(d.to_numpy(), full_matrices=False)[0][:, 1], ONE, {}),
    "last row only": (lambda d: _shape(np.where(np.arange(len(d)) == len(d) - 9, d["close"].iloc[-1], 0.0), d.index), ONE, {}),
    "bars to the end": (lambda d: _shape(np.arange(len(d))[::-1], d.index), ONE, {}),
    "high of the next bar as resistance": (lambda d: d["high"].rolling(10).max().shift(-1), ONE, {}),
    "exponential mean run backwards": (lambda d: d["close"][::-1].ewm(span=9).mean()[::-1], ONE, {}),
    "two columns, one bad": (lambda d: pd.DataFrame({"good": ret(d), "bad": ret(d).shift(-2)}), ONE, {}),
    "array shifted the wrong way": (lambda a: np.roll(a[:, 0], -1), ARRAY, {}),
    "array scaled by its own mean": (lambda a: a / a.mean(axis=0), ARRAY, {}),
    "series reversed and summed": (lambda s: s[::-1].cumsum()[::-1], SERIES, {}),
    # labels
    "label reaches one bar further than it says": (lambda d: ret(d).rolling(4).sum().shift(-4), ONE, {"horizon": 3}),
    "label in a feature": (lambda d: pd.DataFrame({"x": ret(d), "y": ret(d).shift(-1)}), ONE, {}),
    "label scaled by all labels": (lambda d: (lambda y: y / y.std())(ret(d).shift(-1)), ONE, {"horizon": 1}),
    "label by terciles of all": (lambda d: pd.qcut(ret(d).shift(-1), 3, labels=False), ONE, {"horizon": 1}),
    "barrier of the future volatility": (lambda d: (ret(d).shift(-1) > ret(d)[::-1].rolling(20).std()[::-1]).astype(float), ONE, {"horizon": 1}),
    # scalers and models
    "z-score of the whole sample": (lambda d: (d["close"] - d["close"].mean()) / d["close"].std(), ONE, {}),
    "min-max of the whole sample": (lambda d: (d["close"] - d["close"].min()) / (d["close"].max() - d["close"].min()), ONE, {}),
    "volatility of the whole sample": (lambda d: ret(d) / ret(d).std(), ONE, {}),
    "z-score of train and test": (lambda d: (d["close"] - d["close"].mean()) / d["close"].std(), ONE, {"fit_rows": 200}),
    "scaler fitted beyond the training rows": (lambda d: d["close"] - d["close"].iloc[:250].mean(), ONE, {"fit_rows": 200}),
    "regression fitted on all rows": (lambda d: _fit(d, d), ONE, {}),
    "regression fitted beyond the training rows": (lambda d: _fit(d.iloc[:260], d), ONE, {"fit_rows": 200}),
    "threshold chosen on all rows": (lambda d: (ret(d) > ret(d).quantile(0.7)).astype(float), ONE, {}),
    "outliers of all rows dropped": (lambda d: ret(d)[(ret(d) - ret(d).mean()).abs() < 1.5 * ret(d).std()], ONE, {}),
    "inverse variance of all rows": (lambda d: _wide(d) * (1 / _wide(d).pct_change().var()), PANEL, {}),
    # joins and clocks
    "join of hours by their name": (_naive_join, TWO_CLOCKS, {}),
    "as-of merge on open times": (_merge_on_open, TWO_CLOCKS, {}),
    "hours of quarters by the hour's name": (lambda d: _resampled(d, named_right=False), FINE, {}),
    "day's close on every hour": (lambda d: d.groupby(d.index.floor("D"))["close"].transform("last"), ONE, {}),
    "day's range on every hour": (lambda d: d.groupby(d.index.floor("D"))["high"].transform("max"), ONE, {}),
    "week's mean on every hour": (lambda d: d.groupby(d.index.isocalendar().week)["close"].transform("mean"), ONE, {}),
    "symbols scaled by their whole history": (lambda d: d["close"] / _by_symbol(d, "mean"), PANEL, {}),
    "shift across symbols": (lambda d: d["close"].pct_change().shift(-1), PANEL, {}),
    "universe of survivors": (lambda d: _wide(d).mul((_wide(d).iloc[-1] > _wide(d).iloc[-1].mean()).astype(float), axis=1), PANEL, {}),
    "weights of the whole panel": (lambda d: _wide(d).rank(axis=0, pct=True), PANEL, {}),
    # stops, signals, strategies
    "position of the bar it is earned in": (lambda d: np.sign(ret(d)), ONE, {"horizon": -1}),
    "stop that sees its own bar": (lambda d: _loop_stop(d, peek=True), ONE, {"horizon": -1}),
    "entry at the low of the bar": (lambda d: (d["close"] / d["low"] > 1.01).astype(float), ONE, {"horizon": -1}),
    "curve earned before the signal": (lambda d: _equity(d, delay=-1), ONE, {}),
    "signal with a later bar's confirmation": (lambda d: confirmed_series(np.sign(ret(d)).shift(-1)), ONE, {}),
    "engine fed with tomorrow": (lambda d: _engine(d, lambda x: np.sign(ret(x)).shift(-2)), ONE, {"settle": 1}),
    "threshold of the best backtest": (lambda d: _equity(d, 1) / _equity(d, 1).max(), ONE, {}),
    "drawdown from the final peak": (lambda d: d["close"] / d["close"][::-1].cummax()[::-1], ONE, {}),
    # folds
    "shuffled folds": (lambda d: [(np.setdiff1d(np.arange(len(d)), t), t) for t in np.array_split(np.random.default_rng(0).permutation(len(d)), 5)], ONE, {"horizon": 3}),
    "walk forward without a purge": (lambda d: walk_forward(len(d), train=80, test=40), ONE, {"horizon": 5}),
    "purge shorter than the label": (lambda d: walk_forward(len(d), train=80, test=40, horizon=4), ONE, {"horizon": 5}),
    "blocks without a purge": (lambda d: purged_splits(len(d), num_splits=4), ONE, {"horizon": 2}),
    "train and test share a row": (lambda d: [(np.arange(0, 101), np.arange(100, 150))], ONE, {}),
    "combinatorial folds without a purge": (lambda d: combinatorial_splits(len(d), num_splits=5), ONE, {"horizon": 1}),
}  # fmt: skip


def confirmed_series(signal: pd.Series, n: int = 2) -> pd.Series:
    return pd.Series(confirmed(signal.fillna(0).to_numpy().astype(int), n), index=signal.index, name="signal")


CLEAN = {
    # features
    "return": (ret, ONE, {}),
    "log return": (lambda d: np.log(d["close"]).diff(), ONE, {}),
    "trailing mean": (lambda d: d["close"].rolling(5).mean(), ONE, {}),
    "trailing standard deviation": (lambda d: ret(d).rolling(20).std(), ONE, {}),
    "trailing skewness": (lambda d: ret(d).rolling(30).skew(), ONE, {}),
    "exponential mean": (lambda d: d["close"].ewm(span=9).mean(), ONE, {}),
    "exponential mean, unadjusted": (lambda d: d["close"].ewm(span=9, adjust=False).mean(), ONE, {}),
    "expanding z-score": (lambda d: (d["close"] - d["close"].expanding().mean()) / d["close"].expanding().std(), ONE, {}),
    "expanding rank": (lambda d: d["volume"].expanding().rank(pct=True), ONE, {}),
    "rolling rank": (lambda d: d["volume"].rolling(50).rank(pct=True), ONE, {}),
    "rolling median": (lambda d: d["close"].rolling(7).median(), ONE, {}),
    "rolling quantile": (lambda d: d["close"].rolling(30).quantile(0.9), ONE, {}),
    "forward fill": (lambda d: d["close"].where(d["volume"] > 5).ffill(), ONE, {}),
    "running maximum": (lambda d: d["close"] / d["high"].cummax(), ONE, {}),
    "running total": (lambda d: d["volume"] / d["volume"].cumsum(), ONE, {}),
    "RSI": (_rsi, ONE, {}),
    "MACD": (lambda d: d["close"].ewm(span=12).mean() - d["close"].ewm(span=26).mean(), ONE, {}),
    "true range": (lambda d: np.maximum(d["high"], d["close"].shift()) - np.minimum(d["low"], d["close"].shift()), ONE, {}),
    "Bollinger position": (lambda d: (d["close"] - d["close"].rolling(20).mean()) / d["close"].rolling(20).std(), ONE, {}),
    "range of the bar": (lambda d: (d["high"] - d["low"]) / d["close"], ONE, {}),
    "one-sided convolution": (lambda d: np.convolve(d["close"], np.ones(5) / 5)[: len(d)], ONE, {}),
    "hour of the day": (lambda d: _shape(d.index.hour, d.index), ONE, {}),
    "row number": (lambda d: _shape(np.arange(len(d)), d.index), ONE, {}),
    "constant": (lambda d: _shape(np.ones(len(d)), d.index), ONE, {}),
    "all missing": (lambda d: _shape(np.full(len(d), np.nan), d.index), ONE, {}),
    "zigzag once it is known": (lambda d: _zigzag(d).shift(3), ONE, {}),
    "warm-up dropped": (lambda d: d["close"].rolling(30).mean().dropna(), ONE, {}),
    "several columns": (lambda d: pd.DataFrame({"r": ret(d), "v": d["volume"].diff(), "m": d["close"].rolling(9).mean()}), ONE, {}),
    "words": (lambda d: pd.Series(np.where(ret(d) > 0, "up", "down"), index=d.index), ONE, {}),
    "booleans": (lambda d: ret(d) > 0, ONE, {}),
    "times": (lambda d: pd.Series(d.index + pd.Timedelta("1h"), index=d.index), ONE, {}),
    "array of two columns": (lambda a: np.cumsum(a, axis=0), ARRAY, {}),
    "array, shifted the right way": (lambda a: np.concatenate([[np.nan], a[:-1, 0]]), ARRAY, {}),
    "series": (lambda s: s.diff(), SERIES, {}),
    "recursion": (lambda s: _recursion(s), SERIES, {}),
    "sign of a tiny move": (lambda s: np.sign(s.diff().where(s.diff().abs() > 1e-12)), SERIES, {}),
    # labels
    "horizon return": (lambda d: ret(d).rolling(3).sum().shift(-3), ONE, {"horizon": 3}),
    "label, last rows dropped": (lambda d: ret(d).shift(-2).dropna(), ONE, {"horizon": 2}),
    "triple barrier": (lambda d: _barrier(d, 10), ONE, {"horizon": 10}),
    "direction with a threshold of the past": (lambda d: (ret(d).shift(-1) > ret(d).rolling(20).std()).astype(float), ONE, {"horizon": 1}),
    "label scaled by past volatility": (lambda d: ret(d).shift(-1) / ret(d).rolling(50).std(), ONE, {"horizon": 1}),
    # scalers and models
    "scaler of the training rows": (lambda d: (d["close"] - d["close"].iloc[:200].mean()) / d["close"].iloc[:200].std(), ONE, {"fit_rows": 200}),
    "min-max of the training rows": (lambda d: (d["close"] - d["close"].iloc[:200].min()) / 9, ONE, {"fit_rows": 200}),
    "regression of the training rows": (lambda d: _fit(d.iloc[:200], d), ONE, {"fit_rows": 200}),
    "threshold of the training rows": (lambda d: (ret(d) > ret(d).iloc[:200].quantile(0.7)).astype(float), ONE, {"fit_rows": 200}),
    "seeded noise by row": (lambda d: _shape(np.random.default_rng(0).normal(size=ROWS)[: len(d)], d.index), ONE, {}),
    "expanding regression": (lambda s: s.expanding(30).cov(s.shift(1)) / s.shift(1).expanding(30).var(), SERIES, {}),
    # joins and clocks
    "as-of join": (_asof, TWO_CLOCKS, {}),
    "hours of quarters, once they are over": (lambda d: _resampled(d, named_right=True), FINE, {}),
    "resampled candles, joined as of": (lambda d: asof_join(d, resample(d, "1h"), suffix="_1h")["close_1h"], FINE, {}),
    "yesterday's close on every hour": (lambda d: d["close"].resample("D").last().shift(1).reindex(d.index.floor("D")).set_axis(d.index), ONE, {}),
    "day's range so far": (lambda d: d.groupby(d.index.floor("D"))["high"].cummax(), ONE, {}),
    "return by symbol": (lambda d: d.groupby("symbol")["close"].pct_change(), PANEL, {}),
    "rank across symbols": (lambda d: d.groupby("open_time")["close"].rank(), PANEL, {}),
    "wide returns": (lambda d: _wide(d).pct_change(), PANEL, {}),
    "spread to the mean of the bar": (lambda d: _wide(d).sub(_wide(d).mean(axis=1), axis=0), PANEL, {}),
    "trailing inverse variance": (lambda d: 1 / _wide(d).pct_change().rolling(50).var().shift(1), PANEL, {}),
    "lagged universe": (lambda d: _wide(d).where(_wide(d).shift(1) > 95), PANEL, {}),
    # stops, signals, strategies
    "position of the bar after": (lambda d: np.sign(ret(d)).shift(1), ONE, {"horizon": -1}),
    "stop that sees the bar before": (lambda d: _loop_stop(d, peek=False), ONE, {"horizon": -1}),
    "curve earned after the signal": (lambda d: _equity(d, delay=1), ONE, {}),
    "confirmed signal": (lambda d: confirmed_series(np.sign(ret(d))), ONE, {}),
    "engine fed with today": (lambda d: _engine(d, lambda x: np.sign(ret(x))), ONE, {"settle": 1}),
    "engine's volatility sizing": (lambda d: entry_fractions(d["close"].to_numpy(), BacktestConfig(sizing="volatility", volatility_window=20), 8760), ONE, {}),
    "drawdown from the running peak": (lambda d: d["close"] / d["close"].cummax(), ONE, {}),
    "funding by bar": (lambda d: funding_per_bar(pd.Series(1e-4, index=d.index[::8] + pd.Timedelta('30min')), d), ONE, {}),
    # folds
    "walk forward, purged": (lambda d: walk_forward(len(d), train=80, test=40, horizon=5), ONE, {"horizon": 5}),
    "walk forward, expanding": (lambda d: walk_forward(len(d), train=80, test=40, horizon=5, expanding=True), ONE, {"horizon": 5}),
    "purged blocks": (lambda d: purged_splits(len(d), num_splits=4, horizon=2), ONE, {"horizon": 2}),
    "combinatorial, purged, embargo": (lambda d: combinatorial_splits(len(d), num_splits=5, horizon=3, embargo=4), ONE, {"horizon": 3}),
    "folds without a horizon": (lambda d: list(walk_forward(len(d), train=80, test=40)), ONE, {}),
}  # fmt: skip


def _recursion(s: pd.Series) -> pd.Series:
    out, level = [], s.iloc[0]
    for value in s:
        level = 0.9 * level + 0.1 * value
        out.append(level)
    return pd.Series(out, index=s.index)


def _barrier(d: pd.DataFrame, bars: int) -> pd.Series:
    """1, -1 or 0: which of +2 % and -2 % the close meets first within so many bars."""
    close, out = d["close"].to_numpy(), np.full(len(d), np.nan)
    for i in range(len(d) - bars):
        path = close[i + 1 : i + bars + 1] / close[i] - 1
        hit = np.flatnonzero(np.abs(path) > 0.02)
        out[i] = np.sign(path[hit[0]]) if len(hit) else 0
    return pd.Series(out, index=d.index)
