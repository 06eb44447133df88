"""Compiled fleets beside what they stand for: real models in simulated time, and the wall's clock.

``design`` says what is run, ``runs`` runs it (or takes what was run before), ``comparison`` sets
distributions side by side, ``middle`` holds a fleet on a profile against devices with real models,
``live`` holds it against this machine, ``figures`` draws and ``page`` writes it down.
"""
