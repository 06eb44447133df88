"""What all tests share: examples that are the same in every run."""

from hypothesis import settings

# Examples depend on the test alone, and no test fails because the machine is busy.
settings.register_profile("house", derandomize=True, deadline=None)
settings.load_profile("house")
