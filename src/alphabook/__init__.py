"""Attention to Alpha: the package behind the book.

Sub-packages load only when they are imported, so ``import alphabook`` stays light.
"""

__version__ = "0.1.0"
