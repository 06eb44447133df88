"""Fleets of any size: cells planned and run where there is room, their results merged."""
