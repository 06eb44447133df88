"""When things happen, and nothing else.

Pure integer-nanosecond arithmetic for links, shared egress, hardware costs and the event heap,
and randomness that is a function of (seed, stream, device, counter). Nothing here reads a
clock, waits, opens a socket or keeps global state: time is an argument, so the same functions
serve a live run, a simulated one and compiled code. Import from the modules; this package
imports nothing.
"""
