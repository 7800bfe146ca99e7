"""Candles: the table, its clock, its quality, and where to get one.

>>> from alphabook.candles import load_candles, validate_candles
>>> candles = load_candles("BTCUSDT", "1h", source="sample")
>>> validate_candles(candles).ok
True
"""

from .derived import (
    body,
    close_time,
    is_bearish,
    is_bullish,
    log_return,
    lower_shadow,
    previous_close,
    range_pct,
    simple_return,
    true_range,
    typical_price,
    upper_shadow,
    weighted_close,
)
from .gaps import find_gaps
from .interval import BINANCE_INTERVALS, BYBIT_INTERVALS, Interval
from .load import default_store_path, load_candles, real_market_available
from .market_dir import MarketDir
from .quality import QualityReport, validate_candles
from .resample import asof_join, resample
from .rules import RULES
from .table import COLUMNS, as_candles, empty_candles, interval_of, parse_range, parse_time

__all__ = [
    "BINANCE_INTERVALS", "BYBIT_INTERVALS", "COLUMNS", "RULES", "Interval", "MarketDir", "QualityReport",
    "as_candles", "asof_join", "body", "close_time", "default_store_path", "empty_candles", "find_gaps",
    "interval_of", "is_bearish", "is_bullish", "load_candles", "log_return", "lower_shadow", "parse_range",
    "parse_time", "previous_close", "range_pct", "real_market_available", "resample", "simple_return",
    "true_range", "typical_price", "upper_shadow", "validate_candles", "weighted_close",
]  # fmt: skip
