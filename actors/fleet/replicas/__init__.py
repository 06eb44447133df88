"""Compiled cells of several replicas, which may fail and whose devices turn to others.

They are cells in which something may fail (``trouble``), with these rules beside. The engine's
books are those of one replica at a time, the others' lie apart (``banks``), so all that an engine
does is written once. What replicas do next stands on the heap (``steps``); what fails stands in a
table of its own and comes before whatever else there is at its instant (``failing``). The rules are
those of ``actors.failing``, ``actors.homes`` and ``actors.virtual.replica``; a law of the tests
holds the result equal to ``virtual``'s, event by event.
"""
