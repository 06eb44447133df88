"""The link model beside real TCP: two network namespaces, a path between them, real sockets.

``hosts`` makes the namespaces and cleans them up, ``relay`` is the path between them, ``peer``
talks TCP at both ends, ``design`` says what is tried, ``prediction`` what the model says of it,
``measurement`` what happened, ``exchange`` holds the whole protocol against simulated time, and
``page`` writes it down.
"""
