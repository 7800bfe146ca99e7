"""Where candles come from: five venues behind one interface.

``Bybit().fetch_candles("BTCUSDT", "1h", "2024-01-01", "2024-02-01")`` returns closed candles only, whatever the
number of calls, retries and repeated rows it takes. Taught in :doc:`/notebooks/data/five_venues`.
"""

from .artemis import Artemis
from .base import Venue
from .binance import BinanceFutures
from .budget import RateBudget
from .bybit import Bybit
from .coinbase import Coinbase
from .download import BOOK_PRESET, DownloadReport, Slice, SymbolReport, download
from .http import HttpClient, Reply, redact
from .market import Instrument, Level, OrderBook, Ticker
from .paging import Bar, plan_windows
from .window import Page, Window
from .yahoo import Yahoo

VENUES: dict[str, type[Venue]] = {v.name: v for v in (Bybit, BinanceFutures, Coinbase, Yahoo, Artemis)}

__all__ = [
    "BOOK_PRESET", "VENUES", "Artemis", "Bar", "BinanceFutures", "Bybit", "Coinbase", "DownloadReport", "HttpClient",
    "Instrument", "Level", "OrderBook", "Page", "RateBudget", "Reply", "Slice", "SymbolReport", "Ticker", "Venue",
    "Window", "Yahoo", "download", "plan_windows", "redact",
]  # fmt: skip
