from pathlib import Path

import pytest

from convergence_assets.settings import IN_A_CONTAINER, Settings, SettingsError

POSTGRES = "storage:\n  postgres:\n    postgres_url: {env: DAGSTER_PG_URL}\n"
LEGACY = "run_storage:\n  module: dagster_postgres.run_storage\n  class: PostgresRunStorage\n  config: {}\n"


@pytest.mark.parametrize("variable", IN_A_CONTAINER)
def test_the_embedded_warehouse_refuses_to_start_unnamed_on_a_pod(variable: str) -> None:
    with pytest.raises(SettingsError, match=rf"{variable} is set.*only by name"):
        Settings.from_env({variable: "10.0.0.1"})
    assert Settings.from_env({variable: "10.0.0.1", "GCP_PROJECT_ID": "p"}).warehouse == "bigquery"


@pytest.mark.parametrize("config", [POSTGRES, LEGACY])
def test_the_embedded_warehouse_refuses_to_start_unnamed_beside_a_dagster_on_postgres(
    tmp_path: Path, config: str
) -> None:
    (tmp_path / "dagster.yaml").write_text(config)
    environ = {"DAGSTER_HOME": str(tmp_path)}
    with pytest.raises(SettingsError, match=r"Dagster runs on Postgres.*only by name"):
        Settings.from_env(environ)
    assert Settings.from_env(environ | {"CONVERGENCE_WAREHOUSE": "embedded"}).warehouse == "embedded"
    assert Settings.from_env(environ | {"GCP_PROJECT_ID": "p"}).warehouse == "bigquery"


@pytest.mark.parametrize("config", ["# no postgres here\ntelemetry: {enabled: false}\n", "storage: [postgres\n"])
def test_a_dagster_on_sqlite_or_with_a_broken_file_leaves_the_embedded_warehouse_the_default(
    tmp_path: Path, config: str
) -> None:
    (tmp_path / "dagster.yaml").write_text(config)
    assert Settings.from_env({"DAGSTER_HOME": str(tmp_path)}).warehouse == "embedded"


def test_a_warehouse_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(SettingsError, match="'snowflake': expected 'embedded' or 'bigquery'"):
        Settings.from_env({"CONVERGENCE_WAREHOUSE": "snowflake"})
    with pytest.raises(SettingsError, match="needs GCP_PROJECT_ID"):
        Settings.from_env({"CONVERGENCE_WAREHOUSE": "bigquery"})
