"""Hosts models and sessions and carries out their commands.

``models`` runs many rows in one forward, ``values`` computes what operations ask for, ``virtual``
and ``live`` are the two drivers. Plain classes without Ray: ``cluster`` places them.
"""
