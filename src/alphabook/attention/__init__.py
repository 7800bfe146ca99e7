"""Four attentions on ``(batch, heads, length, head_dim)``: dense, sliding window, FAVOR+, across assets.

Nothing here imports anything else of the book, so that one file can be lifted into another project.
"""

from .dense import dense_attention
from .sliding_window import sliding_window_attention

__all__ = [
    "dense_attention",
    "sliding_window_attention",
]
