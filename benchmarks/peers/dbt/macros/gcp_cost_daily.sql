{% macro gcp_cost_daily(tenant) %}
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
FROM {{ ref(tenant ~ '_gcp_cost_line_items') }}
WHERE usage_date BETWEEN {{ first_day() }} AND {{ last_day() }}
GROUP BY usage_date, billing_account_id, project_id, service_id, sku_id, region, currency
{% endmacro %}
