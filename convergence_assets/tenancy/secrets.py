"""`${env:NAME}` in a tenant file: kept as written, resolved when used, never shown."""

import os
import re
from collections.abc import Mapping

from convergence_assets.redaction import refer, remember

_REFERENCE = re.compile(r"\$\{env:([A-Za-z_][A-Za-z0-9_]*)\}")


class MissingSecret(LookupError):
    """The environment has no value for a secret; the message names the variable alone."""


class Secret:
    """A text with `${env:NAME}` in it. Printed or serialised, it shows only the names of the variables."""

    __slots__ = ("_written",)

    def __init__(self, written: str) -> None:
        self._written = written
        refer(self.variables)

    @property
    def variables(self) -> tuple[str, ...]:
        """The environment variables it needs."""
        return tuple(_REFERENCE.findall(self._written))

    @property
    def is_address(self) -> bool:
        """Whether it is, or may resolve to, a URL, and no `${` in it is left without a meaning."""
        rest = _REFERENCE.sub("", self._written)
        return "${" not in rest and ("://" in self._written or bool(self.variables))

    def resolve(self, environ: Mapping[str, str] = os.environ) -> str:
        """The value; raises `MissingSecret` naming the variable that is not set."""
        for name in self.variables:
            if name not in environ:
                raise MissingSecret(f"environment variable {name} is not set")
        resolved = _REFERENCE.sub(lambda match: environ[match[1]], self._written)
        remember(resolved)
        return resolved

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._written == other._written

    def __hash__(self) -> int:
        return hash(self._written)

    def __repr__(self) -> str:
        return f"Secret({', '.join(self.variables) or '***'})"

    __str__ = __repr__
