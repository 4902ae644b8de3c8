"""What goes wrong with a service's answer."""


class OutputError(Exception):
    """What the service gave does not fit its contract."""
