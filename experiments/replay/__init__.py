"""Recorded runs under other links, hardware or fleets, without models."""
