"""`convergence diagnose`: everything known of a run: a summary, and a zip file to hand on."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from convergence_assets.cli.instance import open_instance
from convergence_assets.cli.lookup import run_of
from convergence_assets.redaction import redacted, redacted_value
from convergence_assets.settings import Settings
from convergence_assets.tenancy.registry import load_tenants

if TYPE_CHECKING:
    from convergence_assets.diagnostics.evidence import Evidence

_CHANGES_SHOWN, _CHECKS_SHOWN, _EVENTS_SHOWN = 10, 10, 8


def diagnose(
    run: Annotated[str, typer.Argument(help="Run id, or a beginning of it that no other run has")],
    output: Annotated[
        Path | None, typer.Option(help="The zip file; default: diagnose-RUN.zip in the present folder", dir_okay=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The summary as one JSON object")] = False,
) -> None:
    """Gather all evidence of a run: a summary here, and a zip file of JSON and SQL with secrets hidden.

    It holds the run with its events, checks, warehouse jobs, incidents, remediations, locks, requests, worker, the
    SQL as compiled now, the tenant's configuration, and what changed before it. What cannot be asked, such as a
    warehouse that is away, is named and left out.

    Example: convergence diagnose 3f2a91c0
    """
    from convergence_assets.control.store import ControlStore
    from convergence_assets.diagnostics.bundle import plain, write_bundle
    from convergence_assets.diagnostics.evidence import Gathering

    settings = Settings.from_env()
    registry = load_tenants(settings)
    store = ControlStore.open(settings)
    with open_instance(settings) as instance:
        run_id = run_of(instance, run)
        evidence = Gathering(instance, store, settings, registry).of(run_id)
    path = output or Path(f"diagnose-{run_id[:8]}.zip")
    lines = _lines(evidence)
    try:
        names = write_bundle(path, evidence, "\n".join(lines) + "\n")
    except OSError as error:
        raise typer.BadParameter(
            f"{path} cannot be written: {error.strerror or error}; --output names another file"
        ) from None
    if as_json:
        fields = _as_json(evidence) | {"bundle": str(path.absolute()), "files": names}
        typer.echo(json.dumps(redacted_value(plain(fields))))
        return
    for line in lines:
        typer.echo(redacted(line))
    typer.echo(f"{len(names)} files in {path}")


def _error(evidence: "Evidence") -> dict[str, Any] | None:
    from convergence_assets.api.run_detail import remedy_of

    for part in evidence.parts:
        if part.error_class:
            return {
                "class": part.error_class, "message": part.error_message, "remedy": remedy_of(part.error_class),
                "runbook": next((i.runbook for i in evidence.incidents if i.run_id == evidence.run_id), None),
            }  # fmt: skip
    return None


def _lines(evidence: "Evidence") -> list[str]:
    from convergence_assets.assets.check_events import examples_shown

    lines = [f"run {evidence.run_id}: {evidence.status}"]
    for part in evidence.parts:
        lines.append(
            f"  tenant {part.tenant_id}, pipeline {part.pipeline}, partition {part.partition or 'none'}: "
            f"{part.status}, attempt {part.attempt}, requested by {part.trigger}, "
            f"config {part.config_version or 'unknown'}, {part.rows_published:,} rows published"
        )
        lines.append(
            f"  made {_moment(part.created_at)}, began {_moment(part.started_at)}, ended {_moment(part.ended_at)}"
        )
        if part.stuck_reason:
            lines.append(f"  stuck: {part.stuck_reason}")
    if evidence.worker:
        lines.append(f"{evidence.worker.kind}: {evidence.worker.reason or 'at work'}")
    error = _error(evidence)
    if error:
        lines += [f"error {error['class']}: {error['message']}", f"  next: {error['remedy']}"]
        if error["runbook"]:
            lines.append(f"  runbook: docs/RUNBOOK.md#{error['runbook']}")
    failed = evidence.failed_checks
    lines += [
        f"check {row['table_name']}: {row['check_name']} failed ({row['severity']}, {row['partition']})"
        + examples_shown(json.loads(row["examples"] or "[]"), row["unexpected_count"])
        for row in failed[:_CHECKS_SHOWN]
    ]
    notable = [line for line in evidence.events if line.level in ("warning", "error") and line.event != "check"]
    lines += [f"{line.moment:%H:%M:%S} {line.level}: {line.message}" for line in notable[-_EVENTS_SHOWN:]]
    lines += [
        f"incident {i.severity} {i.kind}: {i.title} ({'resolved' if i.resolved_at else 'open'}, seen {i.count} times)"
        for i in evidence.incidents
    ]
    lines += [f"remediation {r['step']}: {r['outcome']}" for r in evidence.contents["remediations.json"]]
    lines += [
        f"changed {_moment(c.moment)} {c.kind} {c.subject}: {c.said}" for c in evidence.changes[-_CHANGES_SHOWN:]
    ] or ["nothing is known to have changed before it"]
    lines += [f"not asked: {what}: {why}" for what, why in evidence.missing.items()]
    return lines


def _as_json(evidence: "Evidence") -> dict[str, Any]:
    return {
        "run_id": evidence.run_id,
        "status": evidence.status,
        "parts": evidence.contents["run.json"]["parts"],
        "error": _error(evidence),
        "failed_checks": evidence.failed_checks,
        "incidents": evidence.contents["incidents.json"],
        "remediations": evidence.contents["remediations.json"],
        "worker": evidence.contents.get("worker_state.json"),
        "changes": evidence.contents["changes.json"],
        "not_asked": evidence.missing,
    }


def _moment(moment: Any) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}" if moment else "not yet"
