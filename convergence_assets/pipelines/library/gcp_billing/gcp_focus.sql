-- The line items of the local days in FOCUS 1.2's columns and two of 1.3's, one row each.
WITH services AS (
    SELECT
        s.service_id,
        s.description,
        s.category,
        s.subcategory
    FROM {{ reference_services }} AS s
),

regions AS (
    SELECT
        r.region,
        r.name
    FROM {{ reference_regions }} AS r
),

units AS (
    SELECT
        u.unit,
        u.focus_unit
    FROM {{ reference_units }} AS u
),

-- `202610: 5140391111, 202611: ...` as the tenant gives it once a month's invoice is issued.
invoices AS (
    SELECT
        REGEXP_EXTRACT(pair, '^ *([0-9]{6}) *:') AS invoice_month,
        MIN(TRIM(REGEXP_EXTRACT(pair, ':(.*)$'))) AS invoice_number
    FROM UNNEST(SPLIT(@invoice_numbers, ',')) AS pair
    GROUP BY invoice_month
),

charges AS (
    SELECT
        usage_date,
        line_item_id,
        billing_account_id,
        usage_start_time,
        usage_end_time,
        service_id,
        service_description,
        sku_id,
        sku_description,
        project_id,
        project_name,
        region,
        zone,
        resource_name,
        resource_global_name,
        usage_unit,
        pricing_unit,
        effective_price,
        price_tier_start,
        pricing_unit_quantity,
        list_price,
        cost,
        credits,
        committed_use_credits,
        committed_use_credit_id,
        committed_use_credit_type,
        net_cost,
        currency,
        cost_type,
        adjustment_id,
        adjustment_description,
        NULLIF(TRIM(seller_name), '') AS seller_name,
        NULLIF(TRIM(subscription_instance_id), '') AS subscription_instance_id,
        consumption_model_id,
        consumption_model_description,
        cost_at_effective_price_default,
        effective_price_default,
        invoice_month,
        labels,
        project_labels,
        system_labels,
        tags,
        CONCAT(
            ARRAY_TO_STRING(
                ARRAY(
                    SELECT CONCAT(TO_JSON_STRING(l.key), ':', TO_JSON_STRING(l.value)) AS pair
                    FROM UNNEST(labels) AS l
                    ORDER BY pair
                ), ','
            ), ';',
            ARRAY_TO_STRING(
                ARRAY(
                    SELECT
                        CONCAT(
                            TO_JSON_STRING(t.key), ':', TO_JSON_STRING(t.value),
                            IF(COALESCE(t.inherited, FALSE), 'inherited', '')
                        ) AS pair
                    FROM UNNEST(tags) AS t
                    ORDER BY pair
                ), ','
            ), ';',
            ARRAY_TO_STRING(
                ARRAY(
                    SELECT CONCAT(TO_JSON_STRING(l.key), ':', TO_JSON_STRING(l.value)) AS pair
                    FROM UNNEST(project_labels) AS l
                    ORDER BY pair
                ), ','
            ), ';',
            ARRAY_TO_STRING(
                ARRAY(
                    SELECT CONCAT(TO_JSON_STRING(l.key), ':', TO_JSON_STRING(l.value)) AS pair
                    FROM UNNEST(system_labels) AS l
                    ORDER BY pair
                ), ','
            )
        ) AS label_text,
        CAST(usage_amount AS NUMERIC) AS consumed_amount,
        CAST(pricing_amount AS NUMERIC) AS priced_amount,
        COALESCE(list_cost, cost) AS list_cost,
        CAST(list_price / NULLIF(COALESCE(pricing_unit_quantity, NUMERIC '1'), 0) AS NUMERIC) AS price_on_the_list,
        CAST(
            IF(
                LOWER(COALESCE(consumption_model_description, 'default')) != 'default',
                COALESCE(effective_price_default, effective_price), effective_price
            ) / NULLIF(COALESCE(pricing_unit_quantity, NUMERIC '1'), 0) AS NUMERIC
        ) AS negotiated_price,
        -- FOCUS's Unit Format: capitals, words by hyphens.
        REPLACE(INITCAP(usage_unit), ' ', '-') AS usage_unit_by_words,
        REPLACE(INITCAP(pricing_unit), ' ', '-') AS pricing_unit_by_words,
        -- Since 2026 usage that a spend-based commitment covers is a row of its own, without a credit; its consumption
        -- model is the commitment's: https://cloud.google.com/docs/cuds-multiprice-datamodel
        LOWER(COALESCE(consumption_model_description, 'default')) != 'default' AS is_at_commitment_price,
        -- A billing month of Google begins at midnight in Los Angeles.
        DATE_TRUNC(DATE(usage_start_time, 'America/Los_Angeles'), MONTH) AS usage_month,
        IF(
            REGEXP_CONTAINS(invoice_month, '^[0-9]{4}(0[1-9]|1[0-2])$'),
            PARSE_DATE('%Y%m%d', CONCAT(invoice_month, '01')),
            DATE_TRUNC(DATE(usage_start_time, 'America/Los_Angeles'), MONTH)
        ) AS billing_month,
        CASE
            WHEN cost_type = 'tax' THEN 'Tax'
            WHEN cost_type IN ('adjustment', 'rounding_error') THEN 'Adjustment'
            WHEN STARTS_WITH(sku_description, 'Commitment') THEN 'Purchase'
            ELSE 'Usage'
        END AS category
    FROM gcp_cost_line_items
    WHERE usage_date BETWEEN @first_partition_date AND @last_partition_date
),

classed AS (
    SELECT
        *,
        category IN ('Usage', 'Purchase') AS is_priced,
        category = 'Usage' AND (committed_use_credits < 0 OR is_at_commitment_price) AS is_committed,
        -- A negotiated price, without what the commitment takes off.
        IF(
            category = 'Usage' AND is_at_commitment_price AND cost_at_effective_price_default IS NOT NULL,
            cost_at_effective_price_default, cost
        ) AS contracted_cost,
        category = 'Purchase' AND subscription_instance_id IS NOT NULL AS is_commitment_fee,
        COALESCE(
            IF(is_at_commitment_price, subscription_instance_id, NULL),
            committed_use_credit_id, committed_use_credit_type,
            consumption_model_id, consumption_model_description
        ) AS commitment_id,
        IF(
            is_at_commitment_price, consumption_model_description, committed_use_credit_id
        ) AS commitment_name,
        is_at_commitment_price OR COALESCE(committed_use_credit_type = 'COMMITTED_USAGE_DISCOUNT_DOLLAR_BASE', FALSE)
        OR REGEXP_CONTAINS(LOWER(COALESCE(sku_description, '')), 'dollar based') AS is_spend_based
    FROM charges
),

-- Many charges are labelled alike: each set of labels is written once.
label_sets AS (
    SELECT
        label_text,
        ANY_VALUE(labels) AS labels,
        ANY_VALUE(tags) AS tags,
        ANY_VALUE(project_labels) AS project_labels,
        ANY_VALUE(system_labels) AS system_labels
    FROM charges
    GROUP BY label_text
),

-- All that a charge is labelled with, the nearest first: its own labels, Resource Manager tags bound to it, those that
-- it inherits, its project's labels. Google's own labels have a prefix and so never meet a user's.
labelled AS (
    SELECT
        s.label_text,
        l.key,
        CONCAT('1', COALESCE(l.value, '')) AS ranked_value
    FROM label_sets AS s
    CROSS JOIN UNNEST(s.labels) AS l
    UNION ALL
    SELECT
        s.label_text,
        t.key,
        CONCAT(IF(COALESCE(t.inherited, FALSE), '3', '2'), COALESCE(t.value, '')) AS ranked_value
    FROM label_sets AS s
    CROSS JOIN UNNEST(s.tags) AS t
    UNION ALL
    SELECT
        s.label_text,
        l.key,
        CONCAT('4', COALESCE(l.value, '')) AS ranked_value
    FROM label_sets AS s
    CROSS JOIN UNNEST(s.project_labels) AS l
    UNION ALL
    SELECT
        s.label_text,
        CONCAT('gcp:', l.key) AS key,
        CONCAT('1', COALESCE(l.value, '')) AS ranked_value
    FROM label_sets AS s
    CROSS JOIN UNNEST(s.system_labels) AS l
),

finalised AS (
    SELECT
        label_text,
        key,
        SUBSTR(MIN(ranked_value), 2) AS tag_value
    FROM labelled
    WHERE key IS NOT NULL
    GROUP BY label_text, key
),

tagged AS (
    SELECT
        label_text,
        STRING_AGG(CONCAT(TO_JSON_STRING(key), ':', TO_JSON_STRING(tag_value)), ',' ORDER BY key) AS tag_pairs
    FROM finalised
    GROUP BY label_text
),

described AS (
    SELECT
        classed.*,
        tagged.tag_pairs,
        -- The price list's price, where it gives the cost. A charge that spans tiers has several prices, and some
        -- charges have none: their cost is divided.
        COALESCE(
            IF(
                ABS(classed.price_on_the_list * classed.priced_amount - classed.list_cost)
                <= NUMERIC '0.000001'
                + NUMERIC '0.000000001' * (ABS(classed.priced_amount) + ABS(classed.list_cost)),
                classed.price_on_the_list, NULL
            ),
            -- A refund, with a cost below 0 or without a quantity, has no price.
            IF(
                classed.list_cost / NULLIF(classed.priced_amount, 0) >= 0,
                CAST(classed.list_cost / NULLIF(classed.priced_amount, 0) AS NUMERIC), NULL
            ),
            IF(classed.priced_amount IS NULL, classed.price_on_the_list, NULL),
            IF(classed.list_cost = 0, NUMERIC '0', NULL)
        ) AS list_unit_price,
        COALESCE(
            IF(
                ABS(classed.negotiated_price * classed.priced_amount - classed.contracted_cost)
                <= NUMERIC '0.000001'
                + NUMERIC '0.000000001' * (ABS(classed.priced_amount) + ABS(classed.contracted_cost)),
                classed.negotiated_price, NULL
            ),
            -- A refund, with a cost below 0 or without a quantity, has no price.
            IF(
                classed.contracted_cost / NULLIF(classed.priced_amount, 0) >= 0,
                CAST(classed.contracted_cost / NULLIF(classed.priced_amount, 0) AS NUMERIC), NULL
            ),
            IF(classed.priced_amount IS NULL, classed.negotiated_price, NULL),
            IF(classed.contracted_cost = 0, NUMERIC '0', NULL)
        ) AS contracted_unit_price,
        regions.name AS region_name,
        COALESCE(consumed_units.focus_unit, classed.usage_unit_by_words) AS consumed_unit,
        COALESCE(priced_units.focus_unit, classed.pricing_unit_by_words) AS priced_unit,
        COALESCE(by_id.category, by_name.category, 'Other') AS service_category,
        COALESCE(by_id.subcategory, by_name.subcategory, 'Other (Other)') AS service_subcategory,
        CASE
            WHEN by_id.category IS NOT NULL THEN 'service id'
            WHEN by_name.category IS NOT NULL THEN 'service description'
        END AS category_source,
        -- An invoice has its number once its month has ended.
        IF(
            classed.billing_month < DATE_TRUNC(CURRENT_DATE('America/Los_Angeles'), MONTH),
            invoices.invoice_number, NULL
        ) AS invoice_number
    FROM classed
    LEFT JOIN tagged ON classed.label_text = tagged.label_text
    LEFT JOIN regions ON classed.region = regions.region
    LEFT JOIN units AS consumed_units ON classed.usage_unit = consumed_units.unit
    LEFT JOIN units AS priced_units ON classed.pricing_unit = priced_units.unit
    LEFT JOIN services AS by_id ON classed.service_id = by_id.service_id
    LEFT JOIN services AS by_name ON classed.service_description = by_name.description
    LEFT JOIN invoices ON classed.invoice_month = invoices.invoice_month
)

SELECT
    usage_date,
    zone AS AvailabilityZone,
    net_cost AS BilledCost,
    billing_account_id AS BillingAccountId,
    NULLIF(@billing_account_name, '') AS BillingAccountName,
    'Billing Account' AS BillingAccountType,
    currency AS BillingCurrency,
    TIMESTAMP(DATE_ADD(billing_month, INTERVAL 1 MONTH), 'America/Los_Angeles') AS BillingPeriodEnd,
    TIMESTAMP(billing_month, 'America/Los_Angeles') AS BillingPeriodStart,
    CAST(NULL AS STRING) AS CapacityReservationId,
    CAST(NULL AS STRING) AS CapacityReservationStatus,
    category AS ChargeCategory,
    IF(category != 'Tax' AND adjustment_id IS NOT NULL AND usage_month < billing_month, 'Correction', NULL)
        AS ChargeClass,
    COALESCE(adjustment_description, sku_description) AS ChargeDescription,
    CASE
        WHEN category IN ('Tax', 'Adjustment') THEN 'One-Time'
        WHEN category = 'Purchase' OR service_subcategory = 'Support' THEN 'Recurring'
        ELSE 'Usage-Based'
    END AS ChargeFrequency,
    usage_end_time AS ChargePeriodEnd,
    usage_start_time AS ChargePeriodStart,
    CASE
        WHEN NOT (is_committed OR is_commitment_fee) THEN NULL
        WHEN is_spend_based THEN 'Spend'
        ELSE 'Usage'
    END AS CommitmentDiscountCategory,
    CASE
        WHEN is_commitment_fee THEN subscription_instance_id
        WHEN is_committed THEN commitment_id
    END AS CommitmentDiscountId,
    IF(is_committed, commitment_name, NULL) AS CommitmentDiscountName,
    CASE
        WHEN is_commitment_fee THEN IF(is_spend_based, cost, priced_amount)
        WHEN NOT is_committed THEN NULL
        WHEN is_at_commitment_price THEN cost
        WHEN is_spend_based THEN ABS(committed_use_credits)
        ELSE priced_amount
    END AS CommitmentDiscountQuantity,
    IF(is_committed, 'Used', NULL) AS CommitmentDiscountStatus,
    IF(is_committed OR is_commitment_fee, 'Committed Use Discount', NULL) AS CommitmentDiscountType,
    CASE
        WHEN NOT (is_committed OR is_commitment_fee) THEN NULL
        WHEN is_spend_based THEN currency
        ELSE priced_unit
    END AS CommitmentDiscountUnit,
    IF(category = 'Usage', consumed_amount, NULL) AS ConsumedQuantity,
    IF(category = 'Usage' AND consumed_amount IS NOT NULL, consumed_unit, NULL) AS ConsumedUnit,
    contracted_cost AS ContractedCost,
    IF(is_priced, contracted_unit_price, NULL) AS ContractedUnitPrice,
    net_cost AS EffectiveCost,
    invoice_number AS InvoiceId,
    'Google Cloud' AS HostProviderName,
    'Google Cloud' AS InvoiceIssuerName,
    list_cost AS ListCost,
    IF(is_priced, list_unit_price, NULL) AS ListUnitPrice,
    CASE
        WHEN NOT is_priced THEN NULL
        WHEN is_committed THEN 'Committed'
        WHEN LOWER(sku_description) LIKE '%spot%' OR LOWER(sku_description) LIKE '%preemptible%' THEN 'Dynamic'
        ELSE 'Standard'
    END AS PricingCategory,
    currency AS PricingCurrency,
    IF(is_priced, contracted_unit_price, NULL) AS PricingCurrencyContractedUnitPrice,
    net_cost AS PricingCurrencyEffectiveCost,
    IF(is_priced, list_unit_price, NULL) AS PricingCurrencyListUnitPrice,
    IF(is_priced, priced_amount, NULL) AS PricingQuantity,
    IF(is_priced AND priced_amount IS NOT NULL, priced_unit, NULL) AS PricingUnit,
    'Google Cloud' AS ProviderName,
    COALESCE(seller_name, 'Google Cloud') AS PublisherName,
    region AS RegionId,
    COALESCE(region_name, region) AS RegionName,
    IF(is_commitment_fee, subscription_instance_id, COALESCE(resource_global_name, resource_name)) AS ResourceId,
    resource_name AS ResourceName,
    IF(
        resource_name IS NULL, NULL,
        COALESCE(REGEXP_EXTRACT(COALESCE(resource_global_name, resource_name), '/([^/]+)/[^/]+$'), 'resource')
    ) AS ResourceType,
    service_category AS ServiceCategory,
    COALESCE(
        NULLIF(TRIM(REGEXP_REPLACE(NORMALIZE(service_description, NFKD), '[^ -~]', '')), ''), 'Unknown'
    ) AS ServiceName,
    COALESCE(seller_name, 'Google Cloud') AS ServiceProviderName,
    service_subcategory AS ServiceSubcategory,
    IF(category = 'Tax', NULL, sku_id) AS SkuId,
    IF(category = 'Tax', NULL, sku_description) AS SkuMeter,
    CAST(NULL AS STRING) AS SkuPriceDetails,
    IF(is_priced, CONCAT(sku_id, '/', COALESCE(CAST(price_tier_start AS STRING), '0')), NULL) AS SkuPriceId,
    project_id AS SubAccountId,
    project_name AS SubAccountName,
    IF(project_id IS NULL, NULL, 'Project') AS SubAccountType,
    CONCAT('{', COALESCE(tag_pairs, ''), '}') AS Tags,
    line_item_id AS x_LineItemId,
    cost_type AS x_CostType,
    credits AS x_Credits,
    invoice_month AS x_InvoiceMonth,
    service_id AS x_ServiceId,
    service_description AS x_ServiceName,
    category_source AS x_ServiceCategorySource
FROM described
