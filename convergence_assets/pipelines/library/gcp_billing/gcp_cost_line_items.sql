-- The exported rows of the local days, flattened. Every row is kept: refunds, corrections and zero costs too.
WITH exported AS (
    SELECT
        e.billing_account_id,
        e.usage_start_time,
        e.usage_end_time,
        e.service.id AS service_id,
        NULLIF(TRIM(e.service.description), '') AS service_description,
        e.sku.id AS sku_id,
        NULLIF(TRIM(e.sku.description), '') AS sku_description,
        NULLIF(e.project.id, '') AS project_id,
        e.project.number AS project_number,
        NULLIF(e.project.name, '') AS project_name,
        e.project.ancestry_numbers AS project_ancestry_numbers,
        e.location.location AS place,
        e.location.country,
        NULLIF(e.location.region, '') AS region,
        NULLIF(e.location.zone, '') AS zone_name,
        NULLIF(e.resource.name, '') AS resource_name,
        NULLIF(e.resource.global_name, '') AS resource_global_name,
        e.usage.amount AS usage_amount,
        e.usage.unit AS usage_unit,
        e.usage.amount_in_pricing_units AS pricing_amount,
        e.usage.pricing_unit,
        e.price.effective_price,
        e.price.tier_start_amount AS price_tier_start,
        e.price.pricing_unit_quantity,
        e.currency,
        e.currency_conversion_rate,
        e.cost_type,
        e.adjustment_info.id AS adjustment_id,
        e.adjustment_info.description AS adjustment_description,
        e.adjustment_info.mode AS adjustment_mode,
        e.adjustment_info.type AS adjustment_type,
        e.transaction_type,
        e.seller_name,
        e.subscription.instance_id AS subscription_instance_id,
        e.invoice.month AS invoice_month,
        e.export_time,
        e.labels,
        e.system_labels,
        e.project.labels AS project_labels,
        DATE(e.usage_start_time, @timezone) AS usage_date,
        -- Money is NUMERIC from the first row on: each amount is cast by itself, then added exactly.
        CAST(e.cost AS NUMERIC) AS gross_amount,
        CAST(e.cost_at_list AS NUMERIC) AS list_cost,
        COALESCE(
            (SELECT SUM(CAST(c.amount AS NUMERIC)) FROM UNNEST(e.credits) AS c),
            CAST(0 AS NUMERIC)
        ) AS credit_amount,
        COALESCE(
            (
                SELECT SUM(CAST(c.amount AS NUMERIC)) FROM UNNEST(e.credits) AS c
                WHERE c.type = 'PROMOTION'
            ),
            CAST(0 AS NUMERIC)
        ) AS promotion_credits,
        COALESCE(
            (
                SELECT SUM(CAST(c.amount AS NUMERIC))
                FROM UNNEST(e.credits) AS c
                WHERE STARTS_WITH(c.type, 'COMMITTED_USAGE_DISCOUNT')
            ),
            CAST(0 AS NUMERIC)
        ) AS committed_use_credits,
        (
            SELECT MIN(CONCAT(c.type, ' ', COALESCE(c.id, c.name, '')))
            FROM UNNEST(e.credits) AS c
            WHERE STARTS_WITH(c.type, 'COMMITTED_USAGE_DISCOUNT')
        ) AS committed_use_credit,
        ARRAY_TO_STRING(
            ARRAY(
                SELECT CONCAT(COALESCE(l.key, ''), '=', COALESCE(l.value, '')) AS pair
                FROM UNNEST(e.labels) AS l
                ORDER BY pair
            ),
            ','
        ) AS label_text,
        ARRAY_TO_STRING(
            ARRAY(
                SELECT CONCAT(COALESCE(l.key, ''), '=', COALESCE(l.value, '')) AS pair
                FROM UNNEST(e.system_labels) AS l
                ORDER BY pair
            ),
            ','
        ) AS system_label_text,
        ARRAY_TO_STRING(
            ARRAY(
                SELECT CONCAT(COALESCE(t.key, ''), '=', COALESCE(t.value, '')) AS pair
                FROM UNNEST(e.tags) AS t
                ORDER BY pair
            ),
            ','
        ) AS tag_text
    FROM billing_export AS e
    -- No upper bound on the export's day: corrections for these usage days arrive later.
    WHERE
        e._PARTITIONTIME >= TIMESTAMP_TRUNC(@partition_start, DAY)
        AND e.usage_start_time >= @partition_start
        AND e.usage_start_time < @partition_end
)

SELECT
    usage_date,
    -- Two exported rows that agree in all of this are one row exported twice. Amounts enter as whole units and
    -- billionths: a hash must not hang on how an engine prints a NUMERIC.
    TO_HEX(
        SHA256(
            CONCAT(
                COALESCE(billing_account_id, ''), '|',
                COALESCE(service_id, ''), '|',
                COALESCE(sku_id, ''), '|',
                COALESCE(project_id, ''), '|',
                COALESCE(place, ''), '|',
                COALESCE(zone_name, ''), '|',
                COALESCE(resource_global_name, resource_name, ''), '|',
                CAST(TIMESTAMP_DIFF(usage_start_time, TIMESTAMP '1970-01-01 00:00:00+00', MICROSECOND) AS STRING), '|',
                COALESCE(
                    CAST(TIMESTAMP_DIFF(usage_end_time, TIMESTAMP '1970-01-01 00:00:00+00', MICROSECOND) AS STRING), ''
                ), '|',
                COALESCE(
                    CAST(TIMESTAMP_DIFF(export_time, TIMESTAMP '1970-01-01 00:00:00+00', MICROSECOND) AS STRING), ''
                ),
                '|',
                COALESCE(cost_type, ''), '|',
                COALESCE(adjustment_id, ''), '|',
                COALESCE(transaction_type, ''), '|',
                COALESCE(seller_name, ''), '|',
                COALESCE(subscription_instance_id, ''), '|',
                COALESCE(invoice_month, ''), '|',
                COALESCE(currency, ''), '|',
                COALESCE(
                    CONCAT(
                        CAST(CAST(gross_amount AS INT64) AS STRING), '.',
                        CAST(CAST((gross_amount - CAST(gross_amount AS INT64)) * 1000000000 AS INT64) AS STRING)
                    ),
                    ''
                ), '|',
                COALESCE(
                    CONCAT(
                        CAST(CAST(credit_amount AS INT64) AS STRING), '.',
                        CAST(CAST((credit_amount - CAST(credit_amount AS INT64)) * 1000000000 AS INT64) AS STRING)
                    ),
                    ''
                ), '|',
                COALESCE(
                    CONCAT(
                        CAST(CAST(CAST(usage_amount AS NUMERIC) AS INT64) AS STRING), '.',
                        CAST(
                            CAST(
                                (CAST(usage_amount AS NUMERIC) - CAST(CAST(usage_amount AS NUMERIC) AS INT64))
                                * 1000000000 AS INT64
                            ) AS STRING
                        )
                    ),
                    ''
                ), '|',
                COALESCE(usage_unit, ''), '|',
                COALESCE(
                    CONCAT(
                        CAST(CAST(price_tier_start AS INT64) AS STRING), '.',
                        CAST(CAST((price_tier_start - CAST(price_tier_start AS INT64)) * 1000000000 AS INT64) AS STRING)
                    ),
                    ''
                ), '|',
                COALESCE(label_text, ''), '|',
                COALESCE(system_label_text, ''), '|',
                COALESCE(tag_text, '')
            )
        )
    ) AS line_item_id,
    billing_account_id,
    usage_start_time,
    usage_end_time,
    service_id,
    service_description,
    sku_id,
    sku_description,
    project_id,
    project_number,
    project_name,
    project_ancestry_numbers,
    place AS location,
    country,
    region,
    zone_name AS zone,
    resource_name,
    resource_global_name,
    usage_amount,
    usage_unit,
    pricing_amount,
    pricing_unit,
    effective_price,
    price_tier_start,
    pricing_unit_quantity,
    gross_amount AS cost,
    credit_amount AS credits,
    promotion_credits,
    committed_use_credits,
    NULLIF(REGEXP_REPLACE(committed_use_credit, '^[A-Z_]+ ', ''), '') AS committed_use_credit_id,
    REGEXP_EXTRACT(committed_use_credit, '^([A-Z_]+) ') AS committed_use_credit_type,
    gross_amount + credit_amount AS net_cost,
    list_cost,
    currency,
    currency_conversion_rate,
    cost_type,
    adjustment_id,
    adjustment_description,
    adjustment_mode,
    adjustment_type,
    transaction_type,
    seller_name,
    subscription_instance_id,
    invoice_month,
    export_time,
    labels,
    system_labels,
    project_labels
FROM exported
