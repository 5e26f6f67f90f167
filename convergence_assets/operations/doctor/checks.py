"""Every check by its name, in the order in which a person would look."""

from collections.abc import Mapping

from convergence_assets.operations.doctor import platform, surroundings
from convergence_assets.operations.doctor.examine import Check

CHECKS: Mapping[str, Check] = {
    "home": platform.home,
    "disk": surroundings.disk,
    "tenant files": platform.tenant_files,
    "control store": platform.control_store,
    "Google credentials": surroundings.credentials,
    "warehouse": surroundings.warehouse,
    "permissions": surroundings.permissions,
    "clock": surroundings.clock,
    "daemon": platform.daemon,
    "run queue": platform.run_queue,
    "code location": platform.code_location,
    "alert routes": platform.alert_routes,
    "API keys": platform.api_keys,
    "API port": surroundings.api_port,
}
