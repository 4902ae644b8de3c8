"""What goes wrong with what a service gets or gives."""


class InputError(Exception):
    """What the client sent is not what it seems to be."""


class OutputError(Exception):
    """What the service gave does not fit its contract."""


class ServiceError(Exception):
    """The service file lacks what the manifest names."""
