-- The exported rows of the local days, flattened. Amounts are cast one by one, then added exactly.
WITH exported AS (
    SELECT
        e.billing_account_id,
        e.usage_start_time,
        e.usage_end_time,
        e.service.id AS service_id,
        nullif(trim(e.service.description), '') AS service_description,
        e.sku.id AS sku_id,
        nullif(trim(e.sku.description), '') AS sku_description,
        nullif(e.project.id, '') AS project_id,
        e.project.number AS project_number,
        nullif(e.project.name, '') AS project_name,
        e.project.ancestry_numbers AS project_ancestry_numbers,
        e.location.location AS place,
        e.location.country AS country,
        nullif(e.location.region, '') AS region,
        nullif(e.location.zone, '') AS zone_name,
        nullif(e.resource.name, '') AS resource_name,
        nullif(e.resource.global_name, '') AS resource_global_name,
        e.usage.amount AS usage_amount,
        e.usage.unit AS usage_unit,
        e.usage.amount_in_pricing_units AS pricing_amount,
        e.usage.pricing_unit AS pricing_unit,
        e.price.effective_price AS effective_price,
        e.price.tier_start_amount AS price_tier_start,
        e.price.pricing_unit_quantity AS pricing_unit_quantity,
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
        coalesce(e.labels, []) AS labels,
        coalesce(e.system_labels, []) AS system_labels,
        coalesce(e.project.labels, []) AS project_labels,
        CAST(e.usage_start_time AT TIME ZONE $timezone AS DATE) AS usage_date,
        CAST(e.cost AS DECIMAL(38, 9)) AS gross_amount,
        CAST(e.cost_at_list AS DECIMAL(38, 9)) AS list_cost,
        list_transform(e.credits, lambda c: {type: c.type, id: coalesce(c.id, c.name, ''), amount: CAST(c.amount AS DECIMAL(38, 9))})
            AS credits,
        array_to_string(
            list_sort(list_transform(e.labels, lambda l: coalesce(l.key, '') || '=' || coalesce(l.value, ''))), ','
        ) AS label_text,
        array_to_string(
            list_sort(list_transform(e.system_labels, lambda l: coalesce(l.key, '') || '=' || coalesce(l.value, ''))), ','
        ) AS system_label_text,
        array_to_string(
            list_sort(list_transform(e.tags, lambda t: coalesce(t.key, '') || '=' || coalesce(t.value, ''))), ','
        ) AS tag_text
    FROM billing_export AS e
    WHERE e._PARTITIONTIME >= date_trunc('day', CAST($first_day AS TIMESTAMP) AT TIME ZONE $timezone)
        AND e.usage_start_time >= CAST($first_day AS TIMESTAMP) AT TIME ZONE $timezone
        AND e.usage_start_time < CAST(CAST($last_day AS DATE) + 1 AS TIMESTAMP) AT TIME ZONE $timezone
),

credited AS (
    SELECT
        * EXCLUDE (credits),
        coalesce(list_sum(list_transform(credits, lambda c: c.amount)), 0)::DECIMAL(38, 9) AS credit_amount,
        coalesce(
            list_sum(list_transform(list_filter(credits, lambda c: c.type = 'PROMOTION'), lambda c: c.amount)), 0
        )::DECIMAL(38, 9) AS promotion_credits,
        list_filter(credits, lambda c: starts_with(c.type, 'COMMITTED_USAGE_DISCOUNT')) AS commitments
    FROM exported
)

SELECT
    usage_date,
    sha256(concat_ws(
        '|',
        coalesce(billing_account_id, ''), coalesce(service_id, ''), coalesce(sku_id, ''), coalesce(project_id, ''),
        coalesce(place, ''), coalesce(zone_name, ''), coalesce(resource_global_name, resource_name, ''),
        epoch_us(usage_start_time), coalesce(epoch_us(usage_end_time)::VARCHAR, ''),
        coalesce(epoch_us(export_time)::VARCHAR, ''), coalesce(cost_type, ''), coalesce(adjustment_id, ''),
        coalesce(transaction_type, ''), coalesce(seller_name, ''), coalesce(subscription_instance_id, ''),
        coalesce(invoice_month, ''), coalesce(currency, ''), coalesce(amount_text(gross_amount), ''),
        coalesce(amount_text(credit_amount), ''),
        coalesce(amount_text(exact(usage_amount)), ''), coalesce(usage_unit, ''),
        coalesce(amount_text(price_tier_start), ''), coalesce(label_text, ''),
        coalesce(system_label_text, ''), coalesce(tag_text, '')
    )) AS line_item_id,
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
    coalesce(list_sum(list_transform(commitments, lambda c: c.amount)), 0)::DECIMAL(38, 9) AS committed_use_credits,
    nullif(
        regexp_replace(list_min(list_transform(commitments, lambda c: c.type || ' ' || c.id)), '^[A-Z_]+ ', ''), ''
    ) AS committed_use_credit_id,
    nullif(
        regexp_extract(list_min(list_transform(commitments, lambda c: c.type || ' ' || c.id)), '^([A-Z_]+) ', 1), ''
    ) AS committed_use_credit_type,
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
FROM credited
