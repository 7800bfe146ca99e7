"""Markets with known truth, the bundled sample market, and the exchange stand-in.

The stand-in lives in :mod:`alphabook.simulated.standin` and is not imported here.
"""

from .assets import PROFILES, Asset
from .garch import NO_CLUSTERING, Clustering, conditional_variance
from .markets import KINDS, SimulatedMarket, Truth, simulate_market
from .planted import CALM_AND_STORM, Regime

__all__ = [
    "CALM_AND_STORM", "KINDS", "NO_CLUSTERING", "PROFILES",
    "Asset", "Clustering", "Regime", "SimulatedMarket", "Truth",
    "conditional_variance", "simulate_market",
]  # fmt: skip
