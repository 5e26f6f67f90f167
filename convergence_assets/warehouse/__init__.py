"""Everything that touches a warehouse; knows no Dagster and no tenant."""
