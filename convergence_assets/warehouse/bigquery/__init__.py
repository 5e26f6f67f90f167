"""Google BigQuery, through google-cloud-bigquery."""
