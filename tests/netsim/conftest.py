from hypothesis import settings

# A deadline would assert on wall time, and a random seed would make a failure a matter of luck.
settings.register_profile("netsim", deadline=None, derandomize=True)
settings.load_profile("netsim")
