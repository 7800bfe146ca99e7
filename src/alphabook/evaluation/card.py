"""The honest card: what a reader must know before believing a backtest, filled in by machine or not at all.

Explained in :ref:`honest-results`. Taught in :doc:`/notebooks/backtests/trials`.
"""

from __future__ import annotations

import html
import math
from dataclasses import dataclass, fields

from ..backtest import BacktestConfig, BacktestResult
from ..errors import EvaluationError
from .ledger import HoldoutLedger, TrialLedger
from .overfitting import Overfitting
from .sharpe import deflated_sharpe_ratio


@dataclass(frozen=True, kw_only=True)
class HonestCard:
    """Thirteen lines about one strategy, every one of them filled in.

    Rates are fractions of traded value; Sharpe ratios are annual and net of the costs named here.
    """

    universe: str
    delay: str
    fees: float
    slippage: float
    funding: str
    turnover: float
    break_even_cost: float
    trials: int
    deflated_sharpe: float
    overfitting: float
    sharpe: float
    interval: tuple[float, float]
    holdout_looks: int
    baseline: str
    baseline_sharpe: float

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            parts = value if isinstance(value, tuple) else (value,)
            if any(part is None or part == "" or (isinstance(part, float) and math.isnan(part)) for part in parts):
                raise EvaluationError(
                    f"the honest card lacks {item.name!r} (got {value!r}): a strategy is shown with all lines or not"
                )
        if self.interval[0] > self.interval[1]:
            raise EvaluationError(f"interval runs from low to high, got {self.interval}")

    @property
    def beats_baseline(self) -> bool:
        """Whether the strategy's Sharpe ratio is above that of the baseline."""
        return self.sharpe > self.baseline_sharpe

    def lines(self) -> list[tuple[str, str]]:
        """Label and text of each line."""
        low, high = self.interval
        verdict = "beaten" if self.beats_baseline else "not beaten"
        return [
            ("Universe", self.universe),
            ("Delay from knowing to trading", self.delay),
            ("Fees", f"{1e4 * self.fees:.1f} basis points of traded value, each way"),
            ("Slippage", f"{1e4 * self.slippage:.1f} basis points of traded value, each way"),
            ("Funding", self.funding),
            ("Turnover", f"{self.turnover:,.1f} times the equity a year"),
            ("Break-even cost", f"{1e4 * self.break_even_cost:.1f} basis points of traded value"),
            ("Trials", f"{self.trials:,}"),
            ("Sharpe ratio, net", f"{self.sharpe:.2f} (95 % interval {low:.2f} to {high:.2f})"),
            (
                "Deflated Sharpe ratio",
                f"{self.deflated_sharpe:.1%} sure to be better than the best of the trials by luck",
            ),
            ("Probability of overfitting", f"{self.overfitting:.0%}"),
            ("Looks at the holdout", f"{self.holdout_looks}"),
            ("Baseline", f"{self.baseline}: Sharpe ratio {self.baseline_sharpe:.2f}, net; {verdict}"),
        ]

    def __str__(self) -> str:
        return "\n".join(f"{label:<32}{text}" for label, text in self.lines())

    def _repr_html_(self) -> str:
        rows = "".join(f"<tr><th scope='row'>{a}</th><td>{html.escape(b)}</td></tr>" for a, b in self.lines())
        return f"<table class='ab-card'><caption>Honest card</caption><tbody>{rows}</tbody></table>"


def honest_card(
    result: BacktestResult,
    *,
    universe: str,
    ledger: TrialLedger,
    study: str,
    overfitting: Overfitting | float,
    holdout_looks: int | HoldoutLedger,
    baseline: BacktestResult,
    baseline_name: str,
    funding: str | None = None,
    seed: int = 0,
) -> HonestCard:
    """Fill the card in from the backtest, the ledger of its study and a baseline run under the same rules.

    Args:
        universe: the rule by which the assets were chosen, and when it was known.
        ledger, study: where every trial of the study is written down; their number and spread deflate the Sharpe ratio.
        overfitting: of the table of all trials.
        holdout_looks: how often the holdout was opened, or the ledger that knows.
        funding: how funding was charged, when no amount in the result says so.

    Raises:
        EvaluationError: a field is missing, the study has no trials, or the baseline paid other costs.
    """
    for name in ("commission", "slippage"):
        ours, theirs = getattr(result.config, name), getattr(baseline.config, name)
        if ours != theirs:
            raise EvaluationError(
                f"the baseline pays a {name} of {theirs:g}, the strategy {ours:g}: compare like with like"
            )
    trials = ledger.count(study)
    if trials == 0:
        raise EvaluationError(f"the ledger knows no trial of {study!r}: record every backtest, this one included")
    sharpes = ledger.sharpes(study)
    deflated = deflated_sharpe_ratio(
        result.returns.to_numpy(),
        num_trials=trials,
        **({"trial_sharpes": sharpes} if trials > 1 else {"trial_variance": 0.0}),
    )
    if isinstance(holdout_looks, HoldoutLedger):
        holdout_looks = len(holdout_looks.looks(result.candles))
    paid = result.costs.get("funding", 0.0)
    low, high = result.intervals(("sharpe_ratio",), seed=seed)[["low", "high"]].to_numpy()[0].tolist()
    later = "the next open" if isinstance(result.config, BacktestConfig) else "the next bar"
    return HonestCard(
        universe=universe,
        delay="at the close that decided" if result.config.fill == "close" else later,
        fees=result.config.commission,
        slippage=result.config.slippage,
        funding=funding if funding is not None else (f"{paid:,.2f} paid in all" if paid else ""),
        turnover=result.metrics["turnover"],
        break_even_cost=result.metrics["break_even_cost"],
        trials=trials,
        deflated_sharpe=deflated,
        overfitting=float(overfitting),
        sharpe=result.metrics["sharpe_ratio"],
        interval=(low, high),
        holdout_looks=holdout_looks,
        baseline=baseline_name,
        baseline_sharpe=baseline.metrics["sharpe_ratio"],
    )
