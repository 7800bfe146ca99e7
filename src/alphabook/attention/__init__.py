"""Four attentions on ``(batch, heads, length, head_dim)``: dense, sliding window, FAVOR+, across assets.

Nothing here imports anything else of the book, so that one file can be lifted into another project.
"""

from .cross_asset import CrossAssetAttention
from .dense import dense_attention
from .favor import draw_projection, favor_attention
from .favor_module import FavorAttention
from .multi_head import MultiHeadAttention
from .sliding_window import sliding_window_attention

__all__ = [
    "CrossAssetAttention",
    "FavorAttention",
    "MultiHeadAttention",
    "dense_attention",
    "draw_projection",
    "favor_attention",
    "sliding_window_attention",
]
