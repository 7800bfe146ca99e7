"""The command line: ``alphabook fetch | import | data quality | standin``.

Heavy modules are imported inside the commands, so that ``alphabook --help`` answers at once. Whatever goes wrong
on purpose (:class:`~alphabook.errors.AlphabookError`) ends in one line on stderr with the remedy, and exit code 1.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import __version__
from .errors import AlphabookError, BadRequestError, CandleError, TimeRangeError

if TYPE_CHECKING:
    import pandas as pd

    from .venues import Slice, Venue

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Candles for Attention to Alpha, and the tools around them.",
)
data = typer.Typer(no_args_is_help=True, help="Look at candles that are already here.")
app.add_typer(data, name="data")

STOPPED = 130  # exit code of a command that Ctrl-C ended
StoreOption = Annotated[
    Path | None, typer.Option("--store", help="SQLite file; default: ALPHABOOK_STORE or data/market.sqlite")
]


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0, 1 for an error with a remedy, 2 for wrong usage, 130 when stopped."""
    try:
        result = typer.main.get_command(app).main(args=argv, prog_name="alphabook", standalone_mode=False)
        if result == STOPPED:  # typer has turned Ctrl-C into this
            raise KeyboardInterrupt
        return result if isinstance(result, int) else 0
    except (KeyboardInterrupt, typer.Abort):
        _complain("stopped. What was fetched is in the store; run the same command again to go on")
        return STOPPED
    except typer.Exit as leave:
        return leave.exit_code
    except AlphabookError as error:
        _complain(str(error))
        return 1
    except Exception as error:
        usage = getattr(error, "format_message", None)  # typer's own errors; anything else is a defect: let it show
        if usage is None:
            raise
        if usage():
            _complain(f"{usage()} See alphabook --help")
        return 2


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=lambda on: _show_version(on), help="Show the version.")
    ] = False,
) -> None:
    """Candles for Attention to Alpha, and the tools around them."""


@app.command()
def fetch(
    symbols: Annotated[
        str, typer.Option(help="Comma-separated, as the venue spells them.")
    ] = "BTCUSDT,ETHUSDT,SOLUSDT",
    interval: Annotated[str, typer.Option(help="60, 1h, D, 15m, …")] = "60",
    limit: Annotated[int, typer.Option(help="Latest closed bars per symbol, when no --start is given.")] = 1000,
    venue: Annotated[str, typer.Option(help="bybit, binance, coinbase or yahoo.")] = "bybit",
    start: Annotated[str | None, typer.Option(help="First open time, UTC: 2024-01-31 or 2024-01-31T12:00.")] = None,
    end: Annotated[str | None, typer.Option(help="End, exclusive; default: now.")] = None,
    store: StoreOption = None,
    preset: Annotated[
        str | None, typer.Option(help="book: the fixed slice of real candles that the book uses.")
    ] = None,
    base_url: Annotated[str | None, typer.Option(help="Another address, for example a stand-in's.")] = None,
    category: Annotated[
        str | None, typer.Option(help="Bybit: linear, spot, inverse. Coinbase: exchange, advanced.")
    ] = None,
    max_wait: Annotated[float, typer.Option(help="Longest wait in seconds that a venue may ask for.")] = 60.0,
    verify: Annotated[bool, typer.Option("--verify", help="Ask for every window until two replies agree.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Fetch closed candles into the store and describe them: range, gaps, returns, correlations.

    May be stopped at any time; the same command goes on where it stopped. A second run changes nothing.
    """
    from .candles import Interval
    from .candles.table import parse_range, parse_time, split_symbols
    from .venues import BOOK_PRESET, Slice

    bar = Interval.parse(interval)
    if limit < 1:
        raise TimeRangeError(f"--limit is a number of bars >= 1, got {limit}")
    if start is not None and end is not None:
        parse_range(start, end)
    elif start is None and end is not None:
        raise TimeRangeError(f"--end {end} needs a --start; without both, --limit gives the latest bars")
    elif start is not None:
        parse_time(start, name="start")
    if preset not in (None, "book"):
        raise BadRequestError(f"unknown preset {preset!r}; there is one, book")
    client = _client("bybit" if preset else venue, base_url, category, max_wait=max_wait, verify=verify)
    slices: Sequence[Slice] = BOOK_PRESET
    before = client.http.calls
    if preset is None:
        if start is None:
            first, last = client.last_range(bar, limit)
            start, end = first.isoformat(), last.isoformat()
        slices = [Slice(tuple(split_symbols(symbols)), bar.value, start, end or "")]
    _fetch(client, slices, store, progress=not quiet, clock_calls=client.http.calls - before)


@app.command("import")
def import_(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of Parquet files of candles.")],
    store: StoreOption = None,
    interval: Annotated[str | None, typer.Option(help="Only candles of this interval.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Copy a folder of Parquet candles into the store: checked first, whole files only."""
    from .candles import MarketDir, default_store_path
    from .store import CandleStore, import_folder

    market = MarketDir(folder)
    market.catalogue()
    with CandleStore(store or default_store_path()) as opened:
        report = import_folder(opened, market, interval=interval, progress=not quiet)
        print(report.summary())
        print(f"\n{opened.path}: digest {opened.digest()[:16]}")


@data.command()
def quality(
    store: StoreOption = None,
    folder: Annotated[
        Path | None, typer.Option("--dir", help="A folder of Parquet files instead of the store.")
    ] = None,
    symbols: Annotated[str | None, typer.Option(help="Only these, comma-separated.")] = None,
    interval: Annotated[str | None, typer.Option(help="Only this interval.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit code 1 when a series is broken.")] = False,
) -> None:
    """Check every series against the rules of a candle table and list what is wrong."""
    from .candles import Interval, validate_candles
    from .candles.table import split_symbols

    only = None if interval is None else Interval.parse(interval).value
    wanted = None if symbols is None else set(split_symbols(symbols))
    broken = shown = 0
    for name, candles in _series(store, folder):
        if only not in (None, candles.attrs["interval"]) or (wanted and not wanted & set(candles["symbol"])):
            continue
        report = validate_candles(candles)
        shown, broken = shown + 1, broken + (not report.ok)
        print(f"{name}\n{report.summary()}\n")
    if not shown:
        raise CandleError("no series matches; leave --symbols and --interval out to see all that is there")
    print(f"{shown} series, {broken} broken")
    if strict and broken:
        raise CandleError(
            f"{broken} of {shown} series break the rules of a candle table; the list above names the bars"
        )


@app.command()
def standin(
    venue: Annotated[str, typer.Option(help="bybit, binance, coinbase, yahoo or artemis.")],
    market: Annotated[Path, typer.Option(help="A folder of Parquet files of candles.")],
    port: Annotated[int, typer.Option(help="0 picks a free one.")] = 8765,
    faults: Annotated[Path | None, typer.Option(help="A JSON list of faults to inject.")] = None,
    now: Annotated[
        str | None, typer.Option(help="The exchange's clock; default: half a bar after the last open.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
) -> None:
    """Serve a folder of candles over HTTP and WebSocket in a venue's own wire format, faults included."""
    from .simulated.standin import run

    run(venue=venue, market=market, port=port, faults_path=faults, now=now, host=host)


def _client(name: str, base_url: str | None, category: str | None, **options: Any) -> Venue:
    from .venues import VENUES

    if name not in VENUES or name == "artemis":
        raise BadRequestError(f"no candles from venue {name!r}; use bybit, binance, coinbase or yahoo")
    choice = {"bybit": "category", "coinbase": "api"}.get(name)
    if category is not None:
        if choice is None:
            raise BadRequestError(f"{name} has no --category; leave it out", venue=name)
        options[choice] = category
    return VENUES[name](base_url=base_url, **options)


def _fetch(client: Venue, slices: Sequence[Slice], store: Path | None, *, progress: bool, clock_calls: int = 0) -> None:
    """``clock_calls``: what asking for the range has cost already; the first report counts it."""
    from dataclasses import replace

    from .candles import default_store_path
    from .store import CandleStore
    from .venues import download

    with CandleStore(store or default_store_path()) as opened:
        for part in slices:
            report = download(
                client, part.symbols, part.interval, part.start, part.end or None, opened, progress=progress
            )
            report, clock_calls = replace(report, clock_calls=report.clock_calls + clock_calls), 0
            candles = opened.read(
                [r.symbol for r in report.rows], report.interval, report.start, report.end, venue=client.key
            )
            print(describe(candles, report.interval.value))
            print(f"\n{report}\n")
        print(f"{opened.path}: digest {opened.digest()[:16]}")


def describe(candles: pd.DataFrame, interval: str) -> str:
    """What a fetch prints: range, missing bars, mean and deviation of log returns, and their correlations."""
    import numpy as np
    import pandas as pd

    from .candles import find_gaps

    closes = candles.pivot(index="open_time", columns="symbol", values="close")
    returns = pd.DataFrame(np.log(closes.to_numpy()), index=closes.index, columns=closes.columns).diff()
    # a return belongs to two neighbouring bars: none is computed across a gap
    step = pd.Series(closes.index, index=closes.index).diff()
    if len(closes) > 2:
        returns = returns.where(step == step.mode().iloc[0])
    gaps = find_gaps(candles, interval)
    rows = []
    for symbol, part in candles.groupby("symbol"):
        r = returns[symbol].dropna()
        missing = gaps.loc[gaps["symbol"] == symbol, "missing"]
        span = f"{part['open_time'].min():%Y-%m-%d %H:%M} .. {part['open_time'].max():%Y-%m-%d %H:%M}"
        rows.append((symbol, span, len(part), len(missing), int(missing.sum()), f"{r.mean():+.3e}", f"{r.std():.3e}"))
    table = pd.DataFrame(rows, columns=["symbol", "open times (UTC)", "bars", "gaps", "missing", "mean", "std"])
    text = f"{candles.attrs.get('source', interval)}\n\n{table.to_string(index=False)}"
    text += f"\n\nmean and std of log returns per {interval} bar"
    if closes.shape[1] > 1:
        matrix = returns.corr().rename_axis(index=None, columns=None).round(3)
        text += f"\n\ncorrelation of log returns\n{matrix.to_string()}"
    return text


def _series(store: Path | None, folder: Path | None) -> list[tuple[str, pd.DataFrame]]:
    """Every series of a folder or of the store, with a name."""
    from .candles import MarketDir, default_store_path
    from .store import CandleStore

    if folder is not None:
        market = MarketDir(folder)
        found = []
        for row in market.catalogue().itertuples():
            candles = market.read_file(str(row.file), symbols=[str(row.symbol)])
            candles.attrs["interval"] = row.interval
            found.append((f"{row.file} {row.symbol} {row.interval}", candles))
        return found
    with CandleStore(store or default_store_path(), read_only=True) as opened:
        keys = [(str(r.venue), str(r.symbol), str(r.interval)) for r in opened.series().itertuples()]
        return [(" ".join(key), opened.read(key[1], key[2], venue=key[0])) for key in keys]


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"alphabook {__version__}")
        raise typer.Exit


def _complain(text: str) -> None:
    print(f"alphabook: {' '.join(text.split())}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
