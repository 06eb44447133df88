"""The one error of the simulator's core."""


class NetsimError(ValueError):
    """A value, name or event that the simulator cannot use.

    The message is one line: what is wrong, where it stands, and the way out. It is the only
    argument, so that the error survives pickling between processes.
    """
