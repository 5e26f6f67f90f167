"""Class paths of former releases, which their dagster.yaml names; see `convergence_assets.dagster_instance`."""
