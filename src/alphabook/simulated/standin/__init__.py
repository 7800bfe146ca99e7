"""An exchange on this machine: it speaks a venue's wire format, replays a market, and fails on command.

Five venues are played: Bybit v5, Binance USDⓈ-M futures, Coinbase (Exchange and Advanced Trade), Yahoo's
chart endpoint and Artemis. A client needs nothing but another base address, and cannot tell the
difference: order of rows, text or numbers, inclusive ends, limits, error bodies and headers are the
venue's. Bybit and Binance also have their WebSocket streams.

The market comes from :mod:`.market` (a table, a simulated market, a folder of Parquet), the clock from
:class:`StandIn`, and what goes wrong from a script, see :mod:`.faults`. What a market cannot know (order
books, funding, chain metrics) is invented from the candles, the same in every run. A missing turnover is
close times volume.

From the command line: ``alphabook standin --venue bybit --market DIR --port 8080 --faults faults.json``.
``GET /__standin__/calls`` and ``GET /__standin__/state`` then tell other processes what was asked.
Taught in :doc:`/notebooks/data/five_venues`.
"""

from .exchange import VENUES, StandIn, StandInError, run
from .faults import Fault, FaultScriptError, read_faults
from .server import Call

__all__ = ["VENUES", "Call", "Fault", "FaultScriptError", "StandIn", "StandInError", "read_faults", "run"]
