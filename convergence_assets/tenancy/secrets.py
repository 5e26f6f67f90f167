"""`${env:NAME}` in a tenant file: kept as written, resolved when used, never shown."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

_REFERENCE = re.compile(r"\$\{env:([A-Za-z_][A-Za-z0-9_]*)\}")


class MissingSecret(LookupError):
    """The environment has no value for a secret; the message names the variable alone."""


@dataclass(frozen=True, repr=False)
class Secret:
    """A text with `${env:NAME}` in it. Its repr and str show the names of the variables alone."""

    written: str

    @property
    def variables(self) -> tuple[str, ...]:
        """The environment variables it needs."""
        return tuple(_REFERENCE.findall(self.written))

    def resolve(self, environ: Mapping[str, str] = os.environ) -> str:
        """The value; raises `MissingSecret` naming the variable that is not set."""
        for name in self.variables:
            if name not in environ:
                raise MissingSecret(f"environment variable {name} is not set")
        return _REFERENCE.sub(lambda found: environ[found[1]], self.written)

    def __repr__(self) -> str:
        return f"Secret({', '.join(self.variables) or '***'})"

    __str__ = __repr__
