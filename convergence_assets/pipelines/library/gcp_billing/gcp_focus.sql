{% macro plain(number) %}REGEXP_REPLACE(CAST({{ number }} AS STRING), r'[.]0+$|([.][0-9]*[1-9])0+$', r'\1'){% endmacro %}
-- The charges of the local days in FOCUS 1.2's columns and two of 1.3's.
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

-- `0A1B2C-3D4E5F-6A7B8C: Rockets, ...`, or one name for all.
accounts AS (
    SELECT
        REGEXP_EXTRACT(pair, '^ *([0-9A-F]{6}-[0-9A-F]{6}-[0-9A-F]{6}) *:') AS billing_account_id,
        MIN(TRIM(REGEXP_EXTRACT(pair, ':(.*)$'))) AS account_name
    FROM UNNEST(SPLIT(@billing_account_name, ',')) AS pair
    GROUP BY billing_account_id
),

items AS (
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
        effective_price_default,
        price_tier_start,
        pricing_unit_quantity,
        list_price,
        currency,
        cost_type,
        adjustment_id,
        adjustment_description,
        seller_name,
        invoice_month,
        labels,
        project_labels,
        system_labels,
        tags,
        LOWER(COALESCE(consumption_model_description, 'default')) != 'default' AS is_at_commitment_price,
        CONCAT(
            TO_JSON_STRING(labels), TO_JSON_STRING(tags), TO_JSON_STRING(project_labels), TO_JSON_STRING(system_labels)
        ) AS label_text
    FROM gcp_cost_line_items
    WHERE usage_date BETWEEN @first_partition_date AND @last_partition_date
),

-- What a commitment, or its offset, leaves on a day may have no line item of that day, but the fee's of an earlier one.
charges AS (
    SELECT
        c.*,
        i.price_tier_start,
        i.cost_type,
        i.adjustment_id,
        -- What an offset leaves is no matter of one resource or project.
        IF(c.part = 'offset', NULL, i.label_text) AS label_text,
        IF(c.part = 'offset', NULL, i.zone) AS zone,
        IF(c.part = 'offset', NULL, i.resource_name) AS resource_name,
        IF(c.part = 'offset', NULL, i.resource_global_name) AS resource_global_name,
        COALESCE(i.billing_account_id, d.billing_account_id) AS billing_account_id,
        COALESCE(i.currency, d.currency) AS currency,
        COALESCE(d.part_start, i.usage_start_time) AS charge_start,
        COALESCE(d.part_end, i.usage_end_time) AS charge_end,
        COALESCE(i.service_id, d.service_id) AS service_id,
        COALESCE(i.service_description, d.service_description) AS service_description,
        COALESCE(i.sku_id, d.sku_id) AS sku_id,
        COALESCE(i.sku_description, d.sku_description) AS sku_description,
        IF(c.part = 'offset', NULL, COALESCE(i.project_id, d.project_id)) AS project_id,
        IF(c.part = 'offset', NULL, COALESCE(i.project_name, d.project_name)) AS project_name,
        IF(c.part = 'offset', NULL, COALESCE(i.region, d.region)) AS region,
        COALESCE(i.invoice_month, d.invoice_month) AS invoice_month,
        COALESCE(i.usage_unit, d.pricing_unit) AS usage_unit,
        COALESCE(i.pricing_unit, d.pricing_unit) AS pricing_unit,
        NULLIF(TRIM(i.seller_name), '') AS seller_name,
        c.charge_category IN ('Usage', 'Purchase') AS is_priced,
        -- A billing month of Google begins at midnight in Los Angeles.
        DATE_TRUNC(DATE(i.usage_start_time, 'America/Los_Angeles'), MONTH) AS usage_month,
        CASE
            WHEN c.part = 'unused' THEN 'Unused commitment'
            WHEN c.part = 'credit' THEN c.label
            WHEN c.part = 'offset' THEN 'Fee utilization offset'
            WHEN c.part = 'reduction' THEN 'Reductions of the price of covered usage'
            ELSE i.adjustment_description
        END AS own_description,
        CAST(i.list_price / NULLIF(COALESCE(i.pricing_unit_quantity, NUMERIC '1'), 0) AS NUMERIC) AS price_on_the_list,
        CAST(
            IF(
                i.is_at_commitment_price, COALESCE(i.effective_price_default, i.effective_price), i.effective_price
            ) / NULLIF(COALESCE(i.pricing_unit_quantity, NUMERIC '1'), 0) AS NUMERIC
        ) AS negotiated_price
    FROM gcp_charges AS c
    LEFT JOIN items AS i
        ON c.usage_date = i.usage_date AND IF(c.part = 'unused', NULL, c.line_item_id) = i.line_item_id
    LEFT JOIN gcp_commitments AS d
        ON
            c.usage_date = d.usage_date AND IF(c.part IN ('offset', 'unused'), c.line_item_id, NULL) = d.line_item_id
            AND c.billing_month = d.billing_month
            AND d.usage_date BETWEEN @first_partition_date AND @last_partition_date
    WHERE c.usage_date BETWEEN @first_partition_date AND @last_partition_date
),

-- Many charges are of one service: each name is folded once, to ASCII.
service_names AS (
    SELECT
        service_description,
        NULLIF(TRIM(REGEXP_REPLACE(NORMALIZE(service_description, NFKD), '[^ -~]', '')), '') AS service_name
    FROM (
        SELECT i.service_description FROM items AS i
        UNION DISTINCT
        SELECT d.service_description
        FROM gcp_commitments AS d
        WHERE d.usage_date BETWEEN @first_partition_date AND @last_partition_date
    ) AS descriptions
),

-- Many charges are labelled alike: each set of labels is written once.
label_sets AS (
    SELECT
        label_text,
        ANY_VALUE(labels) AS labels,
        ANY_VALUE(tags) AS tags,
        ANY_VALUE(project_labels) AS project_labels,
        ANY_VALUE(system_labels) AS system_labels
    FROM items
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
        charges.*,
        tagged.tag_pairs,
        COALESCE(service_names.service_name, 'Unknown') AS service_name,
        accounts.account_name,
        -- The price list's price, where it gives the cost. A charge that spans tiers has several prices, and some
        -- charges have none: their cost is divided.
        COALESCE(
            IF(
                ABS(charges.price_on_the_list * charges.priced_amount - charges.list_cost)
                <= NUMERIC '0.000001'
                + NUMERIC '0.000000001' * (ABS(charges.priced_amount) + ABS(charges.list_cost)),
                charges.price_on_the_list, NULL
            ),
            -- A correction, with a cost below 0 or without a quantity, may have no price.
            IF(
                charges.list_cost / NULLIF(charges.priced_amount, 0) >= 0,
                CAST(charges.list_cost / NULLIF(charges.priced_amount, 0) AS NUMERIC), NULL
            ),
            IF(charges.priced_amount IS NULL, charges.price_on_the_list, NULL),
            IF(ABS(charges.list_cost) <= NUMERIC '0.000001', NUMERIC '0', NULL)
        ) AS list_unit_price,
        COALESCE(
            IF(
                ABS(charges.negotiated_price * charges.priced_amount - charges.contracted_cost)
                <= NUMERIC '0.000001'
                + NUMERIC '0.000000001' * (ABS(charges.priced_amount) + ABS(charges.contracted_cost)),
                charges.negotiated_price, NULL
            ),
            -- A correction, with a cost below 0 or without a quantity, may have no price.
            IF(
                charges.contracted_cost / NULLIF(charges.priced_amount, 0) >= 0,
                CAST(charges.contracted_cost / NULLIF(charges.priced_amount, 0) AS NUMERIC), NULL
            ),
            IF(charges.priced_amount IS NULL, charges.negotiated_price, NULL),
            IF(ABS(charges.contracted_cost) <= NUMERIC '0.000001', NUMERIC '0', NULL)
        ) AS contracted_unit_price,
        regions.name AS region_name,
        -- FOCUS's Unit Format: capitals, words by hyphens.
        COALESCE(consumed_units.focus_unit, REPLACE(INITCAP(charges.usage_unit), ' ', '-'), 'Units') AS consumed_unit,
        COALESCE(priced_units.focus_unit, REPLACE(INITCAP(charges.pricing_unit), ' ', '-'), 'Units') AS priced_unit,
        COALESCE(by_id.category, by_name.category, 'Other') AS service_category,
        COALESCE(by_id.subcategory, by_name.subcategory, 'Other (Other)') AS service_subcategory,
        CASE
            WHEN by_id.category IS NOT NULL THEN 'service id'
            WHEN by_name.category IS NOT NULL THEN 'service description'
        END AS category_source,
        -- An invoice has its number once its month has ended.
        IF(
            charges.billing_month < DATE_TRUNC(CURRENT_DATE('America/Los_Angeles'), MONTH),
            invoices.invoice_number, NULL
        ) AS invoice_number
    FROM charges
    LEFT JOIN tagged ON charges.label_text = tagged.label_text
    LEFT JOIN service_names ON charges.service_description = service_names.service_description
    LEFT JOIN regions ON charges.region = regions.region
    LEFT JOIN units AS consumed_units ON charges.usage_unit = consumed_units.unit
    LEFT JOIN units AS priced_units ON charges.pricing_unit = priced_units.unit
    LEFT JOIN services AS by_id ON charges.service_id = by_id.service_id
    LEFT JOIN services AS by_name ON charges.service_description = by_name.description
    LEFT JOIN accounts ON charges.billing_account_id = accounts.billing_account_id
    LEFT JOIN invoices ON charges.invoice_month = invoices.invoice_month
)

SELECT
    zone AS AvailabilityZone,
    billed_cost AS BilledCost,
    billing_account_id AS BillingAccountId,
    NULLIF(
        IF(
            REGEXP_CONTAINS(@billing_account_name, '^ *[0-9A-F]{6}-[0-9A-F]{6}-[0-9A-F]{6} *:'),
            account_name, TRIM(@billing_account_name)
        ), ''
    ) AS BillingAccountName,
    'Billing Account' AS BillingAccountType,
    currency AS BillingCurrency,
    TIMESTAMP(DATE_ADD(billing_month, INTERVAL 1 MONTH), 'America/Los_Angeles') AS BillingPeriodEnd,
    TIMESTAMP(billing_month, 'America/Los_Angeles') AS BillingPeriodStart,
    CAST(NULL AS STRING) AS CapacityReservationId,
    CAST(NULL AS STRING) AS CapacityReservationStatus,
    charge_category AS ChargeCategory,
    IF(charge_category != 'Tax' AND adjustment_id IS NOT NULL AND usage_month < billing_month, 'Correction', NULL)
        AS ChargeClass,
    COALESCE(own_description, sku_description) AS ChargeDescription,
    CASE
        WHEN charge_category IN ('Tax', 'Adjustment', 'Credit') THEN 'One-Time'
        WHEN charge_category = 'Purchase' OR service_subcategory = 'Support' THEN 'Recurring'
        ELSE 'Usage-Based'
    END AS ChargeFrequency,
    -- A charge of a moment has the shortest period that FOCUS can write.
    GREATEST(charge_end, TIMESTAMP_ADD(charge_start, INTERVAL 1 SECOND)) AS ChargePeriodEnd,
    charge_start AS ChargePeriodStart,
    IF(commitment_id IS NULL, NULL, commitment_category) AS CommitmentDiscountCategory,
    commitment_id AS CommitmentDiscountId,
    IF(commitment_id IS NULL, NULL, label) AS CommitmentDiscountName,
    IF(commitment_id IS NULL, NULL, commitment_amount) AS CommitmentDiscountQuantity,
    IF(commitment_id IS NULL, NULL, commitment_status) AS CommitmentDiscountStatus,
    IF(commitment_id IS NULL, NULL, 'Committed Use Discount') AS CommitmentDiscountType,
    CASE
        WHEN commitment_id IS NULL OR commitment_amount IS NULL THEN NULL
        WHEN commitment_category = 'Spend' THEN currency
        ELSE priced_unit
    END AS CommitmentDiscountUnit,
    IF(charge_category = 'Usage', consumed_amount, NULL) AS ConsumedQuantity,
    IF(charge_category = 'Usage' AND consumed_amount IS NOT NULL, consumed_unit, NULL) AS ConsumedUnit,
    contracted_cost AS ContractedCost,
    IF(is_priced, contracted_unit_price, NULL) AS ContractedUnitPrice,
    effective_cost AS EffectiveCost,
    invoice_number AS InvoiceId,
    'Google Cloud' AS HostProviderName,
    'Google Cloud' AS InvoiceIssuerName,
    list_cost AS ListCost,
    IF(is_priced, list_unit_price, NULL) AS ListUnitPrice,
    CASE
        WHEN NOT is_priced THEN NULL
        WHEN commitment_status IS NOT NULL THEN 'Committed'
        WHEN LOWER(sku_description) LIKE '%spot%' OR LOWER(sku_description) LIKE '%preemptible%' THEN 'Dynamic'
        ELSE 'Standard'
    END AS PricingCategory,
    currency AS PricingCurrency,
    IF(is_priced, contracted_unit_price, NULL) AS PricingCurrencyContractedUnitPrice,
    effective_cost AS PricingCurrencyEffectiveCost,
    IF(is_priced, list_unit_price, NULL) AS PricingCurrencyListUnitPrice,
    IF(is_priced, priced_amount, NULL) AS PricingQuantity,
    IF(is_priced AND priced_amount IS NOT NULL, priced_unit, NULL) AS PricingUnit,
    'Google Cloud' AS ProviderName,
    COALESCE(seller_name, 'Google Cloud') AS PublisherName,
    region AS RegionId,
    COALESCE(region_name, region) AS RegionName,
    COALESCE(IF(commitment_status = 'Used', NULL, commitment_id), resource_global_name, resource_name) AS ResourceId,
    resource_name AS ResourceName,
    CASE
        WHEN commitment_status = 'Unused' OR (charge_category = 'Purchase' AND commitment_id IS NOT NULL)
            THEN 'commitment'
        WHEN COALESCE(resource_global_name, resource_name) IS NOT NULL
            THEN COALESCE(REGEXP_EXTRACT(COALESCE(resource_global_name, resource_name), '/([^/]+)/[^/]+$'), 'resource')
    END AS ResourceType,
    service_category AS ServiceCategory,
    service_name AS ServiceName,
    COALESCE(seller_name, 'Google Cloud') AS ServiceProviderName,
    service_subcategory AS ServiceSubcategory,
    IF(charge_category = 'Tax', NULL, sku_id) AS SkuId,
    IF(charge_category = 'Tax', NULL, sku_description) AS SkuMeter,
    CAST(NULL AS STRING) AS SkuPriceDetails,
    CASE
        WHEN NOT is_priced THEN NULL
        WHEN part = 'unused' THEN CONCAT(sku_id, '/unused')
        -- The export names no price. A list price may change, or be a cost divided: one of this id is always the same.
        ELSE
            CONCAT(
                sku_id, '/', {{ plain("COALESCE(price_tier_start, NUMERIC '0')") }},
                COALESCE(CONCAT('/', {{ plain('list_unit_price') }}), '')
            )
    END AS SkuPriceId,
    project_id AS SubAccountId,
    project_name AS SubAccountName,
    IF(project_id IS NULL, NULL, 'Project') AS SubAccountType,
    CONCAT('{', COALESCE(tag_pairs, ''), '}') AS Tags,
    line_item_id AS x_LineItemId,
    part AS x_ChargePart,
    part_number AS x_ChargePartNumber,
    IF(part = 'credit', NULL, label) AS x_CommitmentLabel,
    IF(part = 'credit', NULL, note) AS x_CommitmentNote,
    IF(part = 'credit', note, NULL) AS x_CreditType,
    cost_type AS x_CostType,
    credits AS x_Credits,
    invoice_month AS x_InvoiceMonth,
    service_id AS x_ServiceId,
    service_description AS x_ServiceName,
    category_source AS x_ServiceCategorySource,
    usage_date AS x_UsageDate
FROM described
