"""Markets with known truth, the bundled sample market, and the exchange stand-in.

The stand-in lives in :mod:`alphabook.simulated.standin` and is not imported here.
"""

from typing import TYPE_CHECKING

from .assets import PROFILES, Asset
from .garch import NO_CLUSTERING, Clustering, conditional_variance
from .markets import KINDS, SimulatedMarket, Truth, simulate_market
from .planted import CALM_AND_STORM, Regime

if TYPE_CHECKING:
    from .sample import load_sample

__all__ = [
    "CALM_AND_STORM", "KINDS", "NO_CLUSTERING", "PROFILES",
    "Asset", "Clustering", "Regime", "SimulatedMarket", "Truth",
    "conditional_variance", "load_sample", "simulate_market",
]  # fmt: skip


def __getattr__(name: str) -> object:
    if name == "load_sample":  # lazily, so that `python -m alphabook.simulated.sample` runs the module once
        from .sample import load_sample

        return load_sample
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
