"""The platform's own parts: its home, the tenants' files, the control store, Dagster, routes and keys."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC
from pathlib import Path

from convergence_assets import dagster_instance, environment_variables
from convergence_assets.alerting.routes import message_of as said_of_secret
from convergence_assets.control import outbox
from convergence_assets.control.keys import Keys
from convergence_assets.dagster_internals import patches
from convergence_assets.diagnostics.doctor.examine import Finding, Setup, State
from convergence_assets.monitoring.routing import routes_of
from convergence_assets.recovery.state_files import damaged_datasets, state_files
from convergence_assets.tenancy.accepted_versions import AcceptedStore
from convergence_assets.tenancy.folder import UnreadableFolder, read_folder
from convergence_assets.tenant_lifecycle.code_location import Webserver, stale
from convergence_assets.tenant_lifecycle.waiting_upgrades import waiting_tables
from convergence_assets.warehouse.errors import DamagedWarehouse

CONNECTIONS_OF_A_WORKER = 2
"""Dagster's and the control store's."""
CONNECTIONS_OF_SERVICES = 30
"""Of daemon, code server, webserver, two APIs and the watchdog; docs/DEPLOYMENT.md has what was measured."""
_NEARLY_ALL = 0.9
_SHOWN = 5
_SECONDS_FOR_DATASETS = 15.0
_REPAIR = "end what uses it (`convergence up`, daemon, webserver), then `convergence doctor --repair`"


def settings(setup: Setup) -> Iterator[Finding]:
    """Whether a variable is set that nothing reads, such as a misspelled one."""
    unread = list(environment_variables.misspelled(os.environ))
    for name, nearest in unread:
        step = f"{nearest} is meant?" if nearest else "docs/SETTINGS.md lists those that are read"
        yield Finding("settings", "warning", f"{name} is set, and nothing reads it", step)
    if not unread:
        yield Finding("settings", "ok", setup.settings.warehouse_reason)


def home(setup: Setup) -> Iterator[Finding]:
    """Whether local state can be stored."""
    folder = setup.settings.home
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".doctor"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        yield Finding("home", "broken", f"CONVERGENCE_HOME {folder} cannot be written: {error.strerror}",
                      "make it writable for this user, or set CONVERGENCE_HOME to a folder that is")  # fmt: skip
        return
    yield Finding("home", "ok", f"{folder} can be written")


def tenant_folder(setup: Setup) -> Iterator[Finding]:
    """Whether the tenants' files can be listed and read at all."""
    folder = read_folder(setup.settings.tenants)
    yield Finding("tenant folder", "ok", f"{setup.settings.tenants} has {len(folder.tenants)} tenants")


def tenant_files(setup: Setup) -> Iterator[Finding]:
    """Every rejected tenant, and mistakes in shared files."""
    registry = setup.registry
    for tenant_id, rejection in registry.rejected.items():
        problems = [problem.render() for problem in rejection.problems[:_SHOWN]]
        more = len(rejection.problems) - len(problems)
        served = "it is served on its last accepted version" if rejection.last_accepted else "it is not served"
        seen = f"tenant {tenant_id} is rejected, {served}: {'; '.join(problems)}{f'; and {more} more' if more else ''}"
        yield Finding("tenant files", "broken", seen, f"correct it; `convergence validate --tenant {tenant_id}` checks")
    of_tenants = {problem for rejection in registry.rejected.values() for problem in rejection.problems}
    shared = [problem.render() for problem in registry.problems if problem not in of_tenants]
    if shared:
        yield Finding("tenant files", "broken", "; ".join(shared), "correct it; `convergence validate` checks")
    if not registry.problems:
        yield Finding("tenant files", "ok", f"those of {len(registry.tenants)} tenants are right")


def control_store(setup: Setup) -> Iterator[Finding]:
    """Whether it opens; one that a newer version of Convergence migrated may not."""
    with setup.store.read() as connection:
        connection.exec_driver_sql("SELECT 1")
    state = "was migrated by a newer release, and this one can use it" if setup.store.is_newer else "is up to date"
    yield Finding("control store", "ok", f"{setup.store.shown} {state}")


def database_connections(setup: Setup) -> Iterator[Finding]:
    """Whether Postgres allows as many connections as the runs at once and the other processes may take."""
    name, connections = "database connections", setup.store.connections()
    if connections is None:
        yield Finding(name, "ok", "the control store is a file: there is no limit")
        return
    with setup.open_instance() as instance:
        config = instance.get_concurrency_config().run_queue_config
        runs = config.max_concurrent_runs if config else 0
    needed = runs * CONNECTIONS_OF_A_WORKER + CONNECTIONS_OF_SERVICES
    in_use = f"{connections.used} of {connections.allowed} are used"
    seen = f"{in_use}; {runs} runs at once and the services take up to {needed}"
    if needed <= connections.allowed and connections.used < connections.allowed * _NEARLY_ALL:
        yield Finding(name, "ok", seen)
        return
    state: State = "broken" if needed > connections.allowed else "warning"
    yield Finding(name, state, seen, "raise max_connections of Postgres, or lower max_concurrent_runs of dagster.yaml "
                  "(docs/DEPLOYMENT.md has the budget)")  # fmt: skip


def state(setup: Setup) -> Iterator[Finding]:
    """Whether the files of the control store and of Dagster's storage are intact."""
    looked_at = 0
    for file in state_files(setup.settings, setup.dagster_home):
        if why := file.damage():
            seen = f"{file.path} ({file.what}) is damaged: {why}"
            yield Finding("state files", "broken", seen, _REPAIR)
        looked_at += file.path.exists()
    yield Finding("state files", "ok", f"{looked_at} files of SQLite looked at")


def warehouse_files(setup: Setup) -> Iterator[Finding]:
    """Whether the embedded warehouse's files can be read whole, the small ones first."""
    if setup.settings.warehouse != "embedded":
        yield Finding("warehouse files", "ok", "BigQuery keeps its own")
        return
    damaged = list(damaged_datasets(setup.settings, _SECONDS_FOR_DATASETS))
    for path, why in damaged:
        seen = f"{path} (dataset {path.stem}) is damaged: {why}"
        yield Finding("warehouse files", "broken", seen, DamagedWarehouse.remedy)
    if not damaged:
        yield Finding("warehouse files", "ok", f"read for {_SECONDS_FOR_DATASETS:.0f} s at most, and none is damaged")


def dagster_storage(setup: Setup) -> Iterator[Finding]:
    """Whether the instance opens and its storage answers."""
    with setup.open_instance() as instance:
        runs = instance.get_runs_count()
        yield Finding("Dagster", "ok", f"{instance.root_directory} answers, {runs} runs")
        file = Path(instance.root_directory, "dagster.yaml")
    text = file.read_text() if file.exists() else ""
    if former := [path for path in dagster_instance.FORMER_MODULES if re.search(rf"{re.escape(path)}\b", text)]:
        seen = f"{file} names {', '.join(former)}, where former releases had the classes"
        yield Finding("Dagster", "warning", seen, "name convergence_assets.dagster_instance in their place; both work")
    if why := patches.why_off():
        seen = f"this project's patches of Dagster are left out: {why}; many tenants cost more time and memory"
        yield Finding("Dagster", "warning", seen, f"unset {patches.SWITCH}, with Dagster {patches.MADE_FOR} installed")


def daemon(setup: Setup) -> Iterator[Finding]:
    """Whether the daemon is alive, and whether its sensors and schedules work."""
    from convergence_assets.monitoring import automation

    with setup.open_instance() as instance:
        now = setup.now()
        if not automation.was_ever_started(instance):
            yield _never_started(setup)
            return
        dead = list(automation.dead_daemons(instance, now))
        # A dead daemon's sensors are silent too, and for no other reason.
        failing = [] if dead else list(automation.failing(instance, now))
    for alert in (*dead, *failing):
        yield Finding("daemon", "broken", alert.happened, alert.next_step)
    if not dead and not failing:
        yield Finding("daemon", "ok", "the daemon lives, sensors and schedules work")


def _never_started(setup: Setup) -> Finding:
    try:
        tenants = list(setup.registry.tenants.values())
    except UnreadableFolder:  # another check's finding
        tenants = []
    waiting = sorted(
        tenant.tenant_id
        for tenant in tenants
        if tenant.enabled and not tenant.paused and not all(pipeline.paused for pipeline in tenant.pipelines)
    )
    if not waiting:
        return Finding("daemon", "ok", "it was not started yet, and no tenant waits for it: all are paused")
    seen = f"it was never started: no day of {_listed(waiting)} is requested"
    return Finding("daemon", "broken", seen, "convergence up, or dagster-daemon run -w workspace.yaml beside the rest")


def run_queue(setup: Setup) -> Iterator[Finding]:
    """Whether runs wait longer than they should."""
    import dagster as dg

    with setup.open_instance() as instance:
        queued = instance.get_run_records(dg.RunsFilter(statuses=[dg.DagsterRunStatus.QUEUED]))
    if not queued:
        yield Finding("run queue", "ok", "no run waits")
        return
    oldest = min(record.create_timestamp.replace(tzinfo=record.create_timestamp.tzinfo or UTC) for record in queued)
    waits = setup.now() - oldest
    seen = f"{len(queued)} runs wait, the oldest since {oldest:%Y-%m-%d %H:%M} UTC"
    if waits <= setup.limits.queued:
        yield Finding("run queue", "ok", seen)
        return
    remedy = (
        "see that the daemon lives; then which runs hold the places (`convergence status`, `convergence locks list`), "
        "or raise max_concurrent_runs of dagster.yaml"
    )
    yield Finding("run queue", "broken", seen, remedy)


def code_location(setup: Setup) -> Iterator[Finding]:
    """Whether Dagster has loaded what the files define; without a webserver to query, whether a load has accepted
    them as they are."""
    reload = "reload the code location in the Dagster UI (Deployment), or restart the code server"
    url = setup.settings.dagster_url
    if url:
        loaded = Webserver(url).loaded()
        served = [t for t in setup.registry.tenants.values() if t.tenant_id not in setup.registry.rejected]
        behind = [key for tenant in served for key in stale(tenant, loaded)]
        tenant_ids = {tenant.tenant_id for tenant in served} | set(setup.registry.rejected)
        gone = {key[0] for key in loaded if len(key) == 3 and key[0] != "source"} - tenant_ids
        behind += [f"{name}/*" for name in sorted(gone)]
        if behind:
            yield Finding("code location", "broken", f"what {url} has loaded is not what the files say: "
                          + _listed(behind), reload)  # fmt: skip
        else:
            yield Finding("code location", "ok", f"{url} has loaded what the files say")
        return
    behind = _never_loaded(setup)
    if behind:
        yield Finding(
            "code location", "broken", f"nothing has loaded the files as they are of {_listed(behind)}", reload
        )
    else:
        yield Finding("code location", "ok", "the files as they are were loaded by some process here; with "
                      "CONVERGENCE_DAGSTER_URL the webserver is asked what it has loaded")  # fmt: skip


def _never_loaded(setup: Setup) -> list[str]:
    """Tenants whose files are valid and not those that a load accepted last."""
    folder, accepted = read_folder(setup.settings.tenants), AcceptedStore(setup.settings.accepted_tenants)
    registry = setup.registry

    def last_accepted(tenant_id: str) -> Mapping[str, bytes]:
        # Hidden: the store's own files beside them.
        return {path: raw for path, raw in accepted.files(tenant_id).items() if not path.startswith(".")}

    return [
        tenant_id
        for tenant_id, files in sorted(folder.tenants.items())
        if tenant_id in registry.tenants and tenant_id not in registry.rejected and last_accepted(tenant_id) != files
    ]


def table_versions(setup: Setup) -> Iterator[Finding]:
    """Whether every table is read in the version that its step declares, as far as the control store knows."""
    waiting = list(waiting_tables(setup.store, setup.registry.tenants.values()))
    for one in waiting:
        yield Finding("table versions", "warning", str(one), f"`{one.next_command}`")
    if not waiting:
        yield Finding("table versions", "ok", "every table is read in the version that is declared")


def alert_routes(setup: Setup) -> Iterator[Finding]:
    """Whether anybody is notified of alerts, and whether every route's secret is set here."""
    routes = routes_of(setup.registry)
    name, every, missing = "alert routes", list(routes.all()), 0
    for key, route in every:
        try:
            route.address()
        except LookupError as error:
            missing += 1
            owner = key.partition("/")[0]
            again = f"set it where the daemon runs; `convergence alerts test {owner}` tries the route"
            state: State = "warning" if _is_paused(setup, owner) else "broken"
            yield Finding(name, state, f"{key}: {said_of_secret(error)}", again)
    if not routes.platform:
        nobody = "the platform has no route: nobody is told where a tenant has none"
        yield Finding(name, "warning", nobody, "name one under `alerts.routes` in tenants/_defaults.yaml")
    with setup.store.read() as connection:
        late = [waiting for waiting in outbox.destination_queues(connection) if waiting.last_error]
    for waiting in late:
        seen = f"{waiting.messages} messages for {waiting.destination} wait since {waiting.oldest:%Y-%m-%d %H:%M} UTC"
        again = f"correct the route; `convergence alerts test {waiting.destination.partition('/')[0]}` tries it"
        yield Finding(name, "broken", f"{seen}: {waiting.last_error}", again)
    if routes.platform and not missing and not late:
        yield Finding(name, "ok", f"{len(every)} routes; `convergence alerts test` tries them")


def _is_paused(setup: Setup, owner: str) -> bool:
    """Whether no run of the owner is requested that could raise an alert."""
    tenant = setup.registry.tenants.get(owner)
    return tenant is not None and (tenant.paused or not tenant.enabled)


def api_keys(setup: Setup) -> Iterator[Finding]:
    """Keys that have expired and are not revoked, and those that soon will."""
    now, name = setup.now(), "API keys"
    keys = [key for key in Keys(setup.store).all() if key.revoked_at is None]
    soon = [key for key in keys if now < key.expires_at <= now + setup.limits.key_expires_within]
    over = [key for key in keys if key.expires_at <= now]
    serving = {key.tenant_id for key in keys if key.is_active(now)}
    for key in over:
        # Another key may have taken its place.
        state: State = "warning" if key.tenant_id in serving else "broken"
        yield Finding(name, state, f"{key.key_id} of {key.tenant_id} has expired on {key.expires_at:%Y-%m-%d}",
                      f"convergence keys extend {key.key_id}, or convergence keys revoke {key.key_id}")  # fmt: skip
    for key in soon:
        yield Finding(name, "warning", f"{key.key_id} of {key.tenant_id} expires on {key.expires_at:%Y-%m-%d}",
                      f"convergence keys extend {key.key_id}")  # fmt: skip
    if not over and not soon:
        yield Finding(name, "ok", f"{len(keys)} keys, none expires within {setup.limits.key_expires_within.days} days")


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
