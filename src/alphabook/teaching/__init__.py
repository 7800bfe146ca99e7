"""What the chapters are taught with: claims, exercise checks, predictions, figures, benchmark cells.

Light to import: Matplotlib and Plotly are loaded by :func:`setup`.
"""

from .bench import bench, machine
from .checks import CheckResult, Wrong, check, exercise, exercise_index
from .claims import claim
from .figures import setup, show
from .ledgers import holdout_ledger, study
from .palette import COLORS, DARK, LIGHT, themed_svg
from .predict import Calibration, calibration, forget, predict, reveal
from .sources import source_banner

__all__ = [
    "COLORS",
    "DARK",
    "LIGHT",
    "Calibration",
    "CheckResult",
    "Wrong",
    "bench",
    "calibration",
    "check",
    "claim",
    "exercise",
    "exercise_index",
    "forget",
    "holdout_ledger",
    "machine",
    "predict",
    "reveal",
    "setup",
    "show",
    "source_banner",
    "study",
    "themed_svg",
]
