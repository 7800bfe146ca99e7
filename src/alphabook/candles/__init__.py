"""Candles: the table, its clock, its quality."""

from .interval import BINANCE_INTERVALS, BYBIT_INTERVALS, Interval
from .table import COLUMNS, as_candles, empty_candles, interval_of, parse_range, parse_time

__all__ = [
    "BINANCE_INTERVALS", "BYBIT_INTERVALS", "COLUMNS", "Interval",
    "as_candles", "empty_candles", "interval_of", "parse_range", "parse_time",
]  # fmt: skip
