"""Compiled cells in which something may fail, step by step.

Clouds stall or drop who is silent; devices ask again, go on alone, give up or leave. A device's
steps are worked out ahead elsewhere; here each is an event, since something may come between, and
what was under way then tells nothing any more. Sessions at the cloud have rows of their own behind
the devices' (``slots``), since a device may be in its next request while the cloud still serves the
one before. The rules are those of ``costeer.cloud``, ``costeer.population``, ``costeer.edge``,
``costeer.patience`` and ``actors.virtual``; a law of the tests holds the result equal to
``virtual``'s, event by event.
"""
