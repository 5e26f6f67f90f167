MODEL (
  name @{tenant}.gcp_cost_daily,
  kind INCREMENTAL_BY_TIME_RANGE (time_column (usage_date, '%Y-%m-%d')),
  cron '@daily',
  blueprints (
    (
      tenant := acme, timezone := 'Europe/Berlin', net_cost_limit := 100000,
      export := gcp_billing_export_resource_v1_0A1B2C_3D4E5F_6A7B8C
    ),
    (
      tenant := globex, timezone := 'America/New_York', net_cost_limit := 100000,
      export := gcp_billing_export_resource_v1_1B2C3D_4E5F6A_7B8C9D
    ),
    (
      tenant := initech, timezone := 'Asia/Kolkata', net_cost_limit := 2000000,
      export := gcp_billing_export_resource_v1_2C3D4E_5F6A7B_8C9D0E
    )
  ),
  audits (
    every_day_has_rows,
    not_null(columns := (usage_date)),
    no_rows_where(condition := (net_cost IS NULL OR net_cost != gross_cost + credits)),
    unique_combination_of_columns(columns := (usage_date, billing_account_id, project_id, service_id, sku_id,
      region, currency)),
    one_value_for_each(column := currency, by := (usage_date, billing_account_id)),
    no_rows_where(condition := (line_items < 1)),
    not_null_non_blocking(columns := (service_id)),
    not_null_non_blocking(columns := (sku_id)),
    few_rows_where(condition := (credits > 0)),
    few_rows_where(condition := (list_cost IS NULL)),
    sums_equal(here := net_cost, there := net_cost),
    two_sums_equal(here := gross_cost, there := cost, here_too := credits, there_too := credits),
    sums_equal(here := line_items, there := 1),
    service_cost_near_trailing_days,
    line_items_near_trailing_days,
    few_rows_where(condition := (net_cost < -@net_cost_limit OR net_cost > @net_cost_limit))
  )
);

-- The line items of the local days, added up.
SELECT
    usage_date,
    billing_account_id,
    project_id,
    max(project_name) AS project_name,
    service_id,
    max(service_description) AS service_description,
    sku_id,
    max(sku_description) AS sku_description,
    region,
    currency,
    sum(cost) AS gross_cost,
    sum(credits) AS credits,
    sum(net_cost) AS net_cost,
    sum(coalesce(list_cost, cost)) AS list_cost,
    -- Amounts in different units do not add up.
    CASE WHEN count(DISTINCT usage_unit) = 1 THEN sum(CAST(usage_amount AS DECIMAL(38, 9))) END AS usage_amount,
    CASE WHEN count(DISTINCT usage_unit) = 1 THEN max(usage_unit) END AS usage_unit,
    count(*) AS line_items,
    count_if(cost_type = 'adjustment')::BIGINT AS adjustment_line_items
FROM @{tenant}.gcp_cost_line_items
WHERE usage_date BETWEEN @start_ds AND @end_ds
GROUP BY usage_date, billing_account_id, project_id, service_id, sku_id, region, currency
