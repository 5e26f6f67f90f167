"""Who is notified of an incident: a tenant's own routes, or the platform's."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from convergence_assets.alerting.channels import Channel, Guarded, channel_for

PLATFORM = "platform"
# Sent to the platform's routes too, besides the tenant's own.
_FOR_BOTH = frozenset({"config_rejected", "delivery_failing"})


@dataclass(frozen=True)
class Route:
    """Where alerts of these severities go; `address` gives a URL when it is used, or raises `LookupError`.

    `private_hosts` are the private hosts that a tenant's route may use; None is a route of the platform, which may use
    any.
    """

    severities: tuple[str, ...]
    address: Callable[[], str] = field(repr=False)
    private_hosts: tuple[str, ...] | None = None

    def channel(self) -> Channel:
        """Raises `LookupError` where the address is missing or not allowed, `ValueError` where it is none."""
        channel = channel_for(self.address())
        return channel if self.private_hosts is None else Guarded(channel, self.private_hosts)


@dataclass(frozen=True)
class Destination:
    """A route by its key, like `acme/routes[0]`: the key is stored and shown, never the address.

    `instead_of` says which routes it replaces, and why.
    """

    key: str
    instead_of: tuple[str, ...] = ()


@dataclass(frozen=True)
class Routes:
    """The routes of a deployment. A tenant without any has the platform's."""

    by_tenant: Mapping[str, tuple[Route, ...]]
    platform: tuple[Route, ...]

    def all(self) -> Iterator[tuple[str, Route]]:
        """Every route by its key, the platform's first."""
        yield from _keyed(PLATFORM, self.platform)
        for tenant_id, routes in self.by_tenant.items():
            yield from _keyed(tenant_id, routes)

    def route(self, key: str) -> Route:
        """The route behind a key. Raises `NoSuchRoute`."""
        owner, _, rest = key.rpartition("/routes[")
        routes = self.platform if owner == PLATFORM else self.by_tenant.get(owner, ())
        number = int(rest.rstrip("]")) if rest.rstrip("]").isdecimal() else len(routes)
        if number >= len(routes):
            raise NoSuchRoute(f"no tenant file has a route {key} any more")
        return routes[number]

    def destinations(
        self, kind: str, severity: str, tenant_id: str | None, avoided: str | None = None
    ) -> Sequence[Destination]:
        """Who is notified of an incident; empty where no route takes it.

        A tenant's route whose secret is missing is replaced by the platform's. `avoided` is the key of a destination
        that must not be used.
        """
        tenant_keys = [key for key in self._taking(tenant_id, severity) if key != avoided] if tenant_id else []
        broken = {key: problem for key in tenant_keys if (problem := self._unusable(key))}
        reached = [Destination(key) for key in tenant_keys if key not in broken]
        if not tenant_keys or broken or kind in _FOR_BOTH:
            instead_of = tuple(f"{key}: {problem}" for key, problem in broken.items())
            reached += [Destination(key, instead_of) for key in self._taking(PLATFORM, severity) if key != avoided]
        return reached

    def _taking(self, owner: str, severity: str) -> list[str]:
        routes = self.platform if owner == PLATFORM else self.by_tenant.get(owner, ())
        return [key for key, route in _keyed(owner, routes) if severity in route.severities]

    def _unusable(self, key: str) -> str | None:
        try:
            self.route(key).address()
        except LookupError as error:
            return message_of(error)
        return None


class NoSuchRoute(LookupError):
    """A message's route is no longer in the tenant files."""


def message_of(error: LookupError) -> str:
    """What a missing secret's error says, without the quotes that a KeyError adds."""
    return str(error.args[0]) if error.args else type(error).__name__


def _keyed(owner: str, routes: Sequence[Route]) -> Iterator[tuple[str, Route]]:
    return ((f"{owner}/routes[{number}]", route) for number, route in enumerate(routes))
