{% macro double_text(a) %}CONCAT(IF({{ a }} < 0, '-', ''), {{ whole(a) }}, '␟', {{ rest(a) }}){% endmacro %}
{% macro whole(a) %}CAST(CAST(FLOOR(ABS({{ a }}) / 1000000) AS INT64) AS STRING){% endmacro %}
{% macro rest(a) %}CAST(CAST((ABS({{ a }}) - FLOOR(ABS({{ a }}) / 1000000) * 1000000) * 1000000000000 AS INT64) AS STRING){% endmacro %}
{% macro price_text(p) %}CONCAT(CAST(CAST({{ p }} AS INT64) AS STRING), '␟', CAST(CAST(({{ p }} - CAST({{ p }} AS INT64)) * 1000000000 AS INT64) AS STRING)){% endmacro %}
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
        e.project.labels AS project_labels,
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
        e.price.unit AS price_unit,
        e.price.list_price,
        e.price.effective_price_default,
        e.price.list_price_consumption_model,
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
        e.consumption_model.id AS consumption_model_id,
        e.consumption_model.description AS consumption_model_description,
        e.invoice.month AS invoice_month,
        e.invoice.publisher_type AS invoice_publisher_type,
        e.export_time,
        e.labels,
        e.system_labels,
        e.tags,
        DATE(e.usage_start_time, @timezone) AS usage_date,
        -- Money is NUMERIC from the first row on: each amount is cast by itself, then added exactly.
        CAST(e.cost AS NUMERIC) AS gross_amount,
        CAST(e.cost_at_list AS NUMERIC) AS list_cost,
        CAST(e.cost_at_effective_price_default AS NUMERIC) AS cost_at_effective_price_default,
        CAST(e.cost_at_list_consumption_model AS NUMERIC) AS cost_at_list_consumption_model,
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
        ARRAY(
            SELECT AS STRUCT
                c.id,
                c.name,
                c.full_name,
                c.type,
                CAST(c.amount AS NUMERIC) AS amount,
                -- The others are applied to a charge afterwards, whatever its price is.
                STARTS_WITH(COALESCE(c.type, ''), 'COMMITTED_USAGE_DISCOUNT')
                OR COALESCE(c.type, '') IN (
                    'DISCOUNT', 'FEE_UTILIZATION_OFFSET', 'RESELLER_MARGIN', 'SUBSCRIPTION_BENEFIT',
                    'SUSTAINED_USAGE_DISCOUNT'
                ) AS is_rate_reduction
            FROM UNNEST(e.credits) AS c
        ) AS credit_details,
        [
            STRUCT('cost' AS name, e.cost AS amount),
            STRUCT('cost_at_list' AS name, e.cost_at_list AS amount),
            STRUCT('cost_at_effective_price_default' AS name, e.cost_at_effective_price_default AS amount),
            STRUCT('cost_at_list_consumption_model' AS name, e.cost_at_list_consumption_model AS amount),
            STRUCT('currency_conversion_rate' AS name, e.currency_conversion_rate AS amount),
            STRUCT('usage' AS name, e.usage.amount AS amount),
            STRUCT('pricing' AS name, e.usage.amount_in_pricing_units AS amount)
        ] AS amounts,
        ARRAY_TO_STRING(
            ARRAY(
                SELECT
                    CONCAT(
                        COALESCE(l.key, '␀'), '␟', COALESCE(l.value, '␀')
                    ) AS pair
                FROM UNNEST(e.labels) AS l
                ORDER BY pair
            ),
            '␞'
        ) AS label_text,
        ARRAY_TO_STRING(
            ARRAY(
                SELECT
                    CONCAT(
                        COALESCE(l.key, '␀'), '␟', COALESCE(l.value, '␀')
                    ) AS pair
                FROM UNNEST(e.system_labels) AS l
                ORDER BY pair
            ),
            '␞'
        ) AS system_label_text,
        ARRAY_TO_STRING(
            ARRAY(
                SELECT
                    CONCAT(
                        COALESCE(l.key, '␀'), '␟', COALESCE(l.value, '␀')
                    ) AS pair
                FROM UNNEST(e.project.labels) AS l
                ORDER BY pair
            ),
            '␞'
        ) AS project_label_text,
        ARRAY_TO_STRING(
            ARRAY(
                SELECT
                    CONCAT(
                        COALESCE(t.key, '␀'), '␟', COALESCE(t.value, '␀'), '␟',
                        COALESCE(t.namespace, '␀'), '␟', COALESCE(CAST(t.inherited AS STRING), '␀')
                    ) AS pair
                FROM UNNEST(e.tags) AS t
                ORDER BY pair
            ),
            '␞'
        ) AS tag_text,
        ARRAY_TO_STRING(
            ARRAY(
                SELECT
                    CONCAT(
                        COALESCE(a.resource_name, '␀'), '␟', COALESCE(a.display_name, '␀')
                    ) AS pair
                FROM UNNEST(e.project.ancestors) AS a
                ORDER BY pair
            ),
            '␞'
        ) AS ancestor_text,
        ARRAY_TO_STRING(
            ARRAY(
                SELECT
                    CONCAT(
                        COALESCE(c.type, '␀'), '␟', COALESCE(c.id, '␀'), '␟', COALESCE(c.name, '␀'), '␟',
                        COALESCE(c.full_name, '␀'), '␟', COALESCE({{ double_text('c.amount') }}, '␀')
                    ) AS pair
                FROM UNNEST(e.credits) AS c
                ORDER BY pair
            ),
            '␞'
        ) AS credit_text
    FROM billing_export AS e
    -- No upper bound on the export's day: corrections for these usage days arrive later.
    WHERE
        e.usage_start_time >= @partition_start
        {% if not export_is_view %}
            AND e._PARTITIONTIME >= TIMESTAMP_TRUNC(@partition_start, DAY)
        {% endif %}
        AND e.usage_start_time < @partition_end
)

SELECT
    usage_date,
    -- Two exported rows that agree in every exported field are one row exported twice. A hash must not hang on how an
    -- engine prints a number: a FLOAT64 enters as whole millions and the rest to the twelfth decimal, as byte-seconds
    -- go beyond INT64 and two costs that round to one NUMERIC are two; a NUMERIC as whole units and billionths.
    TO_HEX(
        SHA256(
            CONCAT(
                COALESCE(billing_account_id, '␀'), '␟',
                COALESCE(service_id, '␀'), '␟',
                COALESCE(service_description, '␀'), '␟',
                COALESCE(sku_id, '␀'), '␟',
                COALESCE(sku_description, '␀'), '␟',
                COALESCE(project_id, '␀'), '␟',
                COALESCE(project_number, '␀'), '␟',
                COALESCE(project_name, '␀'), '␟',
                COALESCE(project_ancestry_numbers, '␀'), '␟',
                COALESCE(place, '␀'), '␟',
                COALESCE(country, '␀'), '␟',
                COALESCE(region, '␀'), '␟',
                COALESCE(zone_name, '␀'), '␟',
                COALESCE(resource_name, '␀'), '␟',
                COALESCE(resource_global_name, '␀'), '␟',
                COALESCE(usage_unit, '␀'), '␟',
                COALESCE(pricing_unit, '␀'), '␟',
                COALESCE(price_unit, '␀'), '␟',
                COALESCE(currency, '␀'), '␟',
                COALESCE(cost_type, '␀'), '␟',
                COALESCE(adjustment_id, '␀'), '␟',
                COALESCE(adjustment_description, '␀'), '␟',
                COALESCE(adjustment_mode, '␀'), '␟',
                COALESCE(adjustment_type, '␀'), '␟',
                COALESCE(transaction_type, '␀'), '␟',
                COALESCE(seller_name, '␀'), '␟',
                COALESCE(subscription_instance_id, '␀'), '␟',
                COALESCE(consumption_model_id, '␀'), '␟',
                COALESCE(consumption_model_description, '␀'), '␟',
                COALESCE(invoice_month, '␀'), '␟',
                COALESCE(invoice_publisher_type, '␀'), '␟',
                COALESCE(
                    CAST(TIMESTAMP_DIFF(usage_start_time, TIMESTAMP '1970-01-01 00:00:00+00', MICROSECOND) AS STRING),
                    '␀'
                ), '␟',
                COALESCE(
                    CAST(TIMESTAMP_DIFF(usage_end_time, TIMESTAMP '1970-01-01 00:00:00+00', MICROSECOND) AS STRING), '␀'
                ), '␟',
                COALESCE(
                    CAST(TIMESTAMP_DIFF(export_time, TIMESTAMP '1970-01-01 00:00:00+00', MICROSECOND) AS STRING), '␀'
                ), '␟',
                COALESCE({{ price_text('effective_price') }}, '␀'), '␟',
                COALESCE({{ price_text('price_tier_start') }}, '␀'), '␟',
                COALESCE({{ price_text('pricing_unit_quantity') }}, '␀'), '␟',
                COALESCE({{ price_text('list_price') }}, '␀'), '␟',
                COALESCE({{ price_text('effective_price_default') }}, '␀'), '␟',
                COALESCE({{ price_text('list_price_consumption_model') }}, '␀'), '␟',
                ARRAY_TO_STRING(
                    ARRAY(
                        SELECT
                            CONCAT(
                                a.name, '␟',
                                COALESCE({{ double_text('a.amount') }}, '␀')
                            ) AS pair
                        FROM UNNEST(amounts) AS a
                        ORDER BY pair
                    ),
                    '␞'
                ), '␟',
                label_text, '␟',
                system_label_text, '␟',
                project_label_text, '␟',
                tag_text, '␟',
                ancestor_text, '␟',
                credit_text
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
    price_unit,
    list_price,
    effective_price_default,
    list_price_consumption_model,
    gross_amount AS cost,
    credit_amount AS credits,
    promotion_credits,
    committed_use_credits,
    NULLIF(REGEXP_REPLACE(committed_use_credit, '^[A-Z_]+ ', ''), '') AS committed_use_credit_id,
    REGEXP_EXTRACT(committed_use_credit, '^([A-Z_]+) ') AS committed_use_credit_type,
    gross_amount + credit_amount AS net_cost,
    list_cost,
    cost_at_effective_price_default,
    cost_at_list_consumption_model,
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
    consumption_model_id,
    consumption_model_description,
    invoice_month,
    invoice_publisher_type,
    export_time,
    labels,
    system_labels,
    project_labels,
    tags,
    credit_details
FROM exported
