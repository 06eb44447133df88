"""The driver whose clock is simulated: one heap, real values, charged durations.

``driver`` runs the devices' sessions, ``replica`` a copy of the large model with its engine;
``queues`` carry out what hosts have to compute.
"""
