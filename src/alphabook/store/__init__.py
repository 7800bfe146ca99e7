"""Where candles are kept: one SQLite file, written in whole transactions.

>>> from alphabook.store import CandleStore
>>> with CandleStore("data/market.sqlite") as store:          # doctest: +SKIP
...     store.upsert(candles)
"""

from .candle_store import CandleStore
from .importing import FileImport, ImportReport, import_folder
from .rows import UpsertResult

__all__ = ["CandleStore", "FileImport", "ImportReport", "UpsertResult", "import_folder"]
