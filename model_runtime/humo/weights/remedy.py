"""What to do about weights that are missing or not what they must be."""

from __future__ import annotations

BRING = (
    "bring the weights into this folder: python -m model_runtime model fetch MODEL; a tiny model is made instead, "
    "in an empty folder: python -m model_runtime model make-tiny MODEL"
)
"""Said where a file is known and its model is not."""
