"""The one failure of the control store that people meet; light to import."""


class ControlError(Exception):
    """The control store cannot be used, or refuses; the message says why and what to do next."""


class DamagedStore(ControlError):
    """The control store's file is not what it was written as."""
