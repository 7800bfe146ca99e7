"""What a backtest leaves behind: equity, trades, positions, costs by kind, metrics.

Taught in :doc:`/notebooks/backtests/engine`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from ._loop import REASONS
from .config import BacktestConfig, PortfolioConfig
from .metrics import equity_returns, summary

_REASON = pd.CategoricalDtype(list(REASONS))


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class BacktestResult:
    """Everything one backtest of one asset produced; all amounts in units of the quote currency, all returns net.

    Attributes:
        config: the rules it ran under.
        equity: one point per bar, after its fills and costs; the last includes the closing trade.
        changes: bars at which the holdings change, and the units held from then on, negative when short.
        trades: a row per closed trade: ``entry_time, exit_time, entry_price, exit_price, units, direction, gross_pnl,
            net_pnl, commission, slippage, funding, return, bars, exit_reason, mae, mfe``. Times name the bars of the
            fills; prices are what was paid, slippage included; ``gross_pnl`` is on quoted prices; ``return`` is the net
            profit over the value at entry; ``mae`` and ``mfe`` are the worst and best excursion from the entry price.
        metrics: by name, see :func:`alphabook.backtest.metrics.summary`.
        costs: ``commission``, ``slippage`` and ``funding`` paid in all.
        ambiguous: trades whose bar held stop and target both; ``intrabar`` decided them.
        refused: entries that could not be sized: no equity left, or no volatility known yet.
    """

    config: BacktestConfig | PortfolioConfig
    equity: pd.Series
    trades: pd.DataFrame
    metrics: dict[str, float]
    costs: dict[str, float]
    ambiguous: int
    refused: int
    periods_per_year: float
    candles: pd.DataFrame = field(repr=False)
    changes: tuple[np.ndarray, np.ndarray] = field(repr=False)

    @classmethod
    def from_loop(
        cls,
        *,
        config: BacktestConfig,
        candles: pd.DataFrame,
        times: pd.Index,
        equity: np.ndarray,
        trades: dict[str, np.ndarray],
        ambiguous: int,
        refused: int,
        periods_per_year: float,
        compiled: bool = False,
    ) -> BacktestResult:
        """Dress what the loop wrote into arrays."""
        size, side = trades["size"], trades["direction"]
        gross = size * side * (trades["exit_quote"] - trades["entry_quote"])
        net = gross - trades["commission"] - trades["slippage"] - trades["funding"]
        paid_in, bars = size * trades["entry_fill"], trades["exit_bar"] - trades["entry_bar"]
        traded = float(paid_in.sum() + (size * trades["exit_fill"]).sum())
        at = np.column_stack((trades["entry_bar"], trades["exit_bar"])).ravel()
        stamps, held = times.take(at), np.column_stack((size * side, np.zeros(len(size)))).ravel()
        frame = pd.DataFrame(
            {
                "entry_time": stamps[::2],
                "exit_time": stamps[1::2],
                "entry_price": trades["entry_fill"],
                "exit_price": trades["exit_fill"],
                "units": size,
                "direction": side,
                "gross_pnl": gross,
                "net_pnl": net,
                "commission": trades["commission"],
                "slippage": trades["slippage"],
                "funding": trades["funding"],
                "return": net / paid_in,
                "bars": bars,
                "exit_reason": pd.Categorical.from_codes(trades["reason"], dtype=_REASON, validate=False),
                "mae": trades["mae"],
                "mfe": trades["mfe"],
            },
            copy=False,
        )
        metrics = summary(
            equity,
            config.initial_capital,
            periods_per_year,
            traded_value=traded,
            gross_pnl=float(gross.sum()),
            net_pnl=net,
            exposed=float(bars.sum()) / len(equity),
            compiled=compiled,
        )
        return cls(
            config=config,
            equity=pd.Series(equity, index=candles.index, name="equity", copy=False),
            trades=frame,
            metrics=metrics,
            costs={name: float(trades[name].sum()) for name in ("commission", "slippage", "funding")},
            ambiguous=int(ambiguous),
            refused=int(refused),
            periods_per_year=float(periods_per_year),
            candles=candles,
            changes=(at, held),
        )

    @cached_property
    def position(self) -> pd.Series | pd.DataFrame:
        """Units held at each close, negative when short."""
        return pd.Series(self._spread(), index=self.equity.index, name="position", copy=False)

    def _spread(self) -> np.ndarray:
        """The holdings at every bar, from the bars at which they change."""
        bars, units = self.changes
        lengths = np.diff(bars, prepend=0, append=len(self.equity))
        return np.repeat(np.concatenate((np.zeros((1, *units.shape[1:])), units)), lengths, axis=0)

    @cached_property
    def returns(self) -> pd.Series:
        """Net simple return of each bar; the first is measured against the initial capital."""
        return pd.Series(
            equity_returns(self.equity.to_numpy(), self.config.initial_capital), index=self.equity.index, name="return"
        )

    @cached_property
    def digest(self) -> str:
        """Sixteen hexadecimal digits over configuration, equity and trades: equal digests, equal backtests."""
        state = hashlib.sha256(self.config.digest.encode())
        state.update(np.ascontiguousarray(self.equity.to_numpy(dtype=float)).tobytes())
        for name in ("units", "entry_price", "exit_price", "net_pnl"):
            state.update(np.ascontiguousarray(self.trades[name].to_numpy(dtype=float)).tobytes())
        return state.hexdigest()[:16]

    def intervals(self, metrics: Sequence[str] | None = None, **settings: Any) -> pd.DataFrame:
        """Bootstrap intervals of metrics, see :func:`alphabook.backtest.intervals.bootstrap_intervals`."""
        from .intervals import bootstrap_intervals

        if metrics is not None:
            settings["metrics"] = metrics
        return bootstrap_intervals(self.returns.to_numpy(), self.periods_per_year, **settings)

    def tear_sheet(self, **settings: Any) -> Any:
        """Six pictures of the result, see :func:`alphabook.backtest.report.tear_sheet`."""
        from .report import tear_sheet

        return tear_sheet(self, **settings)

    def to_frame(self) -> pd.DataFrame:
        """Equity, net return and position by bar."""
        return pd.DataFrame({"equity": self.equity, "return": self.returns, "position": self.position})

    def __repr__(self) -> str:
        return "\n".join(f"{name:<24}{text}" for name, text in self._lines())

    def _repr_html_(self) -> str:
        rows = "".join(f"<tr><th scope='row'>{name}</th><td>{text}</td></tr>" for name, text in self._lines())
        return f"<table class='ab-result'><caption>Backtest, net of costs</caption>{rows}</table>"

    def _lines(self) -> list[tuple[str, str]]:
        m = self.metrics
        times = self.candles["open_time"] if "open_time" in self.candles.columns else self.candles.index.to_series()
        costs = ", ".join(f"{name} {value:,.2f}" for name, value in self.costs.items() if value)
        lines: list[tuple[str, Any]] = [
            ("bars", f"{len(self.equity):,} from {times.iloc[0]} to {times.iloc[-1]}"),
            ("equity", f"{self.config.initial_capital:,.2f} to {m['final_equity']:,.2f} ({m['total_return']:+.2%})"),
            ("a year", f"{m['annualized_return']:+.2%} at a volatility of {m['volatility']:.2%}"),
            ("Sharpe, Sortino, Calmar", f"{m['sharpe_ratio']:.2f}, {m['sortino_ratio']:.2f}, {m['calmar_ratio']:.2f}"),
            ("largest drawdown", f"{m['max_drawdown']:.2%}, the longest lasted {m['max_drawdown_bars']:,.0f} bars"),
            (
                "trades",
                f"{m['num_trades']:,.0f}, {m['hit_rate']:.1%} with a gain, profit factor {m['profit_factor']:.2f}",
            ),
            ("costs", costs or "none"),
            ("break-even cost", f"{1e4 * m['break_even_cost']:.1f} basis points of traded value"),
            ("exposure, turnover", f"{m['exposure']:.1%} of the bars, {m['turnover']:,.1f} times the equity a year"),
            ("fills", f"{self.config.fill}; {self.ambiguous} trades decided by intrabar={self._intrabar!r}"),
        ]
        return lines

    @property
    def _intrabar(self) -> str:
        return getattr(self.config, "intrabar", "pessimistic")
