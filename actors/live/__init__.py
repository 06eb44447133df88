"""The driver whose clock is the wall: durations are measured, link delays are waited out.

``cloud`` serves the engine beside its model, ``edge`` runs a shard's devices beside theirs,
``driver`` starts both and collects rows. Access links live in the shard, the cloud's egress at the
cloud, so that no clock is compared across machines; what a frame's transit was travels beside it.
"""
