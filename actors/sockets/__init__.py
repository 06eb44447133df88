"""The machines on real sockets: a cloud that listens, devices that connect, asyncio, no Ray.

``protocol`` says what crosses a connection, ``worker`` computes beside the event loop, ``server``
and ``engine`` are the cloud's end, ``connecting`` and ``devices`` the other. Nothing is
modelled here: every delay is a real one.
"""
