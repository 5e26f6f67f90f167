"""Some tenants for all that a change touches: of every kind, the largest and the smallest first."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from convergence_assets.preview.touched import TouchedTable

Touched = Mapping[str, Sequence[TouchedTable]]
"""The touched tables by tenant."""


def sample(touched: Touched, rows: Mapping[str, int], number: int) -> list[str]:
    """At most `number` tenants. Two are of one kind where the change touches the same tables of them in the same way;
    every kind has one before any has two, and of a kind the largest by `rows` is taken first, then the smallest, then
    the middle ones."""
    kinds: dict[tuple[tuple[str, ...], ...], list[str]] = defaultdict(list)
    for tenant_id, tables in touched.items():
        kinds[tuple(sorted(table.kind for table in tables))].append(tenant_id)
    queues = [_by_size(tenants, rows) for _, tenants in sorted(kinds.items())]
    chosen: list[str] = []
    while queues and len(chosen) < number:
        chosen += [queue.pop(0) for queue in queues[: number - len(chosen)]]
        queues = [queue for queue in queues if queue]
    return sorted(chosen)


def _by_size(tenants: Sequence[str], rows: Mapping[str, int]) -> list[str]:
    """The largest, the smallest, then the middles of what is between, halved again and again."""
    ordered = sorted(tenants, key=lambda tenant_id: (-rows.get(tenant_id, 0), tenant_id))
    places = dict.fromkeys([0, len(ordered) - 1])
    spans = [(0, len(ordered) - 1)]
    while spans:
        first, last = spans.pop(0)
        if last - first > 1:
            middle = (first + last) // 2
            places[middle] = None
            spans += [(first, middle), (middle, last)]
    return [ordered[place] for place in places]
