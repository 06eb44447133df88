"""Measurements of this machine: each module has `run(repeats) -> list of rows`."""
