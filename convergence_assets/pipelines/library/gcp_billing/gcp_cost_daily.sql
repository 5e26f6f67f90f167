-- The line items of the local days, added up.
SELECT
    usage_date,
    billing_account_id,
    project_id,
    MAX(project_name) AS project_name,
    service_id,
    MAX(service_description) AS service_description,
    sku_id,
    MAX(sku_description) AS sku_description,
    region,
    currency,
    SUM(cost) AS gross_cost,
    SUM(credits) AS credits,
    SUM(net_cost) AS net_cost,
    SUM(COALESCE(list_cost, cost)) AS list_cost,
    -- Amounts in different units do not add up.
    IF(COUNT(DISTINCT usage_unit) = 1, SUM(CAST(usage_amount AS NUMERIC)), NULL) AS usage_amount,
    IF(COUNT(DISTINCT usage_unit) = 1, MAX(usage_unit), NULL) AS usage_unit,
    COUNT(*) AS line_items,
    COUNTIF(cost_type = 'adjustment') AS adjustment_line_items
FROM gcp_cost_line_items
WHERE usage_date BETWEEN @first_partition_date AND @last_partition_date
GROUP BY usage_date, billing_account_id, project_id, service_id, sku_id, region, currency
