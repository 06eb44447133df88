"""Ablations: one scenario, many variants, the same random numbers in each.

``config`` is what a person writes, ``expansion`` makes cells of it, ``execution`` carries one out,
``runner`` all of them, ``store`` keeps them. ``collection`` makes one tidy table of what they left,
``figures``, ``tables`` and ``report`` show it.
"""
