{% macro by_resource(id, unit) %}IF(COALESCE({{ unit }}, 'hour') = 'hour', {{ id }}, CONCAT({{ id }}, '/', REPLACE({{ unit }}, ' ', '-'))){% endmacro %}
-- The fees of commitments whose windows begin in the local days, of both of Google's models.
WITH purchases AS (
    SELECT
        usage_date,
        line_item_id,
        billing_account_id,
        currency,
        invoice_month,
        usage_start_time,
        usage_end_time,
        net_cost,
        pricing_amount,
        pricing_unit,
        -- The former model prices each cent of an hour's usage at list prices.
        CAST(
            CAST(pricing_amount AS NUMERIC) * CAST(
                COALESCE(currency_conversion_rate, IF(currency = 'USD', 1, NULL)) AS NUMERIC
            ) / 100 AS NUMERIC
        ) AS covered_list_cost,
        service_id,
        service_description,
        sku_id,
        sku_description,
        project_id,
        project_name,
        region,
        COALESCE(
            NULLIF(TRIM(subscription_instance_id), ''), NULLIF(TRIM(resource_global_name), ''),
            NULLIF(TRIM(resource_name), '')
        ) AS exported_id,
        IF(REGEXP_CONTAINS(LOWER(sku_description), 'dollar based'), 'Spend', 'Usage') AS commitment_category,
        COALESCE(
            (
                SELECT SUM(c.amount) FROM UNNEST(credit_details) AS c
                WHERE NOT c.is_rate_reduction
            ), NUMERIC '0'
        ) AS credits_afterwards,
        COALESCE(
            (
                SELECT SUM(c.amount) FROM UNNEST(credit_details) AS c
                WHERE c.type = 'FEE_UTILIZATION_OFFSET'
            ),
            NUMERIC '0'
        ) AS utilization_offset
    FROM gcp_cost_line_items
    WHERE
        usage_date BETWEEN @first_partition_date AND @last_partition_date
        AND STARTS_WITH(sku_description, 'Commitment')
        AND NOT COALESCE(cost_type, '') IN ('tax', 'adjustment', 'rounding_error')
),

fees AS (
    SELECT
        *,
        net_cost - credits_afterwards - utilization_offset AS fee
    FROM purchases
)

SELECT
    usage_date,
    line_item_id,
    billing_account_id,
    -- One of cores and of memory, in hours and in gibibyte hours, is two: each has one unit, and what it covers.
    IF(commitment_category = 'Spend', exported_id, {{ by_resource('exported_id', 'pricing_unit') }}) AS commitment_id,
    commitment_category,
    currency,
    IF(
        REGEXP_CONTAINS(invoice_month, '^[0-9]{4}(0[1-9]|1[0-2])$'),
        PARSE_DATE('%Y%m%d', CONCAT(invoice_month, '01')),
        DATE_TRUNC(DATE(usage_start_time, 'America/Los_Angeles'), MONTH)
    ) AS billing_month,
    usage_start_time AS fee_start,
    usage_end_time AS fee_end,
    fee,
    utilization_offset,
    CASE
        WHEN commitment_category = 'Usage' THEN CAST(pricing_amount AS NUMERIC)
        -- No commitment costs more than what it covers: this amount is one of other units.
        WHEN ABS(covered_list_cost) > ABS(fee) THEN covered_list_cost
    END AS priced_amount,
    pricing_unit,
    service_id,
    service_description,
    sku_id,
    sku_description,
    project_id,
    project_name,
    region
FROM fees
WHERE exported_id IS NOT NULL
