"""Runs side by side: which arms belong together, how they differ, and whether that means anything.

``circumstances`` says what was not the same, ``pairing`` what differs and by how much,
``tables`` and ``page`` show it.
"""

from experiments.comparison.pairing import ArmComparison, Comparison, Difference, compare

__all__ = ["ArmComparison", "Comparison", "Difference", "compare"]
