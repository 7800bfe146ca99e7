"""Markets with known truth, the bundled sample market, and the exchange stand-in.

The stand-in lives in :mod:`alphabook.simulated.standin` and is not imported here.
"""

from typing import TYPE_CHECKING

from .assets import PROFILES, Asset
from .garch import NO_CLUSTERING, Clustering, conditional_variance
from .imperfect import delist, punch_gaps
from .markets import KINDS, SimulatedMarket, Truth, simulate_market
from .planted import CALM_AND_STORM, Regime
from .stylised import CALIBRATION, CALIBRATION_SOURCE, Band, autocorrelation, compare_facts, hill, stylised_facts

if TYPE_CHECKING:
    from .sample import load_sample

__all__ = [
    "CALIBRATION", "CALIBRATION_SOURCE", "CALM_AND_STORM", "KINDS", "NO_CLUSTERING", "PROFILES",
    "Asset", "Band", "Clustering", "Regime", "SimulatedMarket", "Truth",
    "autocorrelation", "compare_facts", "conditional_variance", "delist", "hill", "load_sample", "punch_gaps",
    "simulate_market", "stylised_facts",
]  # fmt: skip


def __getattr__(name: str) -> object:
    if name == "load_sample":  # lazily, so that `python -m alphabook.simulated.sample` runs the module once
        from .sample import load_sample

        return load_sample
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
