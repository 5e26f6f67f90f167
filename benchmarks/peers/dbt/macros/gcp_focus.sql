{% macro gcp_focus(tenant) %}
-- The line items of the local days in FOCUS 1.2's columns, one row each.
WITH charges AS (
    SELECT
        usage_date,
        line_item_id,
        billing_account_id,
        usage_start_time,
        usage_end_time,
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
        seller_name,
        invoice_month,
        labels,
        CAST(usage_amount AS DECIMAL(38, 9)) AS consumed_amount,
        CAST(pricing_amount AS DECIMAL(38, 9)) AS priced_amount,
        COALESCE(list_cost, cost) AS list_cost,
        CAST(COALESCE(list_cost, cost) / NULLIF(CAST(pricing_amount AS DECIMAL(38, 9)), 0) AS DECIMAL(38, 9)) AS list_unit_price,
        CAST(effective_price / NULLIF(COALESCE(pricing_unit_quantity, 1), 0) AS DECIMAL(38, 9)) AS contracted_unit_price,
        LOWER(COALESCE(service_description, '')) AS service,
        -- A billing month of Google begins at midnight in Los Angeles.
        date_trunc('month', usage_start_time AT TIME ZONE 'America/Los_Angeles')::DATE AS usage_month,
        IF(
            regexp_matches(invoice_month, '^[0-9]{4}(0[1-9]|1[0-2])$'),
            strptime(invoice_month || '01', '%Y%m%d')::DATE,
            date_trunc('month', usage_start_time AT TIME ZONE 'America/Los_Angeles')::DATE
        ) AS billing_month,
        CASE
            WHEN cost_type = 'tax' THEN 'Tax'
            WHEN cost_type IN ('adjustment', 'rounding_error') THEN 'Adjustment'
            WHEN STARTS_WITH(sku_description, 'Commitment') THEN 'Purchase'
            ELSE 'Usage'
        END AS category
    FROM {{ ref(tenant ~ '_gcp_cost_line_items') }}
    WHERE usage_date BETWEEN {{ first_day() }} AND {{ last_day() }}
),

classed AS (
    SELECT
        *,
        category IN ('Usage', 'Purchase') AS is_priced,
        category = 'Usage' AND committed_use_credits < 0 AS is_committed,
        CASE
            WHEN service LIKE '%support%' OR service = 'invoice' THEN 'Other'
            WHEN
                service LIKE '%compute engine%' OR service LIKE '%kubernetes%' OR service LIKE '%cloud run%'
                OR service LIKE '%openshift%' OR service LIKE '%app engine%' OR service LIKE '%functions%'
                THEN 'Compute'
            WHEN
                service LIKE '%sql%'
                OR service LIKE '%spanner%'
                OR service LIKE '%bigtable%'
                OR service LIKE '%firestore%'
                OR service LIKE '%memorystore%' OR service LIKE '%alloydb%'
                THEN 'Databases'
            WHEN service LIKE '%storage%' OR service LIKE '%filestore%' OR service LIKE '%backup%' THEN 'Storage'
            WHEN service LIKE '%network%' OR service LIKE '%dns%' OR service LIKE '%cdn%' OR service LIKE '%vpn%'
                THEN 'Networking'
            WHEN
                service LIKE '%bigquery%'
                OR service LIKE '%dataflow%'
                OR service LIKE '%dataproc%'
                OR service LIKE '%looker%'
                THEN 'Analytics'
            WHEN service LIKE '%vertex%' OR service LIKE '%gemini%' OR service LIKE '%machine learning%'
                THEN 'AI and Machine Learning'
            WHEN service LIKE '%pub/sub%' OR service LIKE '%workflows%' THEN 'Integration'
            WHEN service LIKE '%security%' OR service LIKE '%key management%' OR service LIKE '%secret manager%'
                THEN 'Security'
            WHEN service LIKE '%logging%' OR service LIKE '%monitoring%' THEN 'Management and Governance'
            ELSE 'Other'
        END AS service_category
    FROM charges
)

SELECT
    usage_date,
    zone AS AvailabilityZone,
    net_cost AS BilledCost,
    billing_account_id AS BillingAccountId,
    CAST(NULL AS VARCHAR) AS BillingAccountName,
    'Billing Account' AS BillingAccountType,
    currency AS BillingCurrency,
    (billing_month + INTERVAL 1 MONTH) AT TIME ZONE 'America/Los_Angeles' AS BillingPeriodEnd,
    billing_month::TIMESTAMP AT TIME ZONE 'America/Los_Angeles' AS BillingPeriodStart,
    CAST(NULL AS VARCHAR) AS CapacityReservationId,
    CAST(NULL AS VARCHAR) AS CapacityReservationStatus,
    category AS ChargeCategory,
    IF(category != 'Tax' AND adjustment_id IS NOT NULL AND usage_month < billing_month, 'Correction', NULL)
        AS ChargeClass,
    COALESCE(adjustment_description, sku_description) AS ChargeDescription,
    CASE
        WHEN category IN ('Tax', 'Adjustment') THEN 'One-Time'
        WHEN category = 'Purchase' OR service LIKE '%support%' THEN 'Recurring'
        ELSE 'Usage-Based'
    END AS ChargeFrequency,
    usage_end_time AS ChargePeriodEnd,
    usage_start_time AS ChargePeriodStart,
    CASE
        WHEN NOT is_committed THEN NULL
        WHEN committed_use_credit_type = 'COMMITTED_USAGE_DISCOUNT_DOLLAR_BASE' THEN 'Spend'
        ELSE 'Usage'
    END AS CommitmentDiscountCategory,
    IF(is_committed, COALESCE(committed_use_credit_id, committed_use_credit_type), NULL) AS CommitmentDiscountId,
    IF(is_committed, committed_use_credit_id, NULL) AS CommitmentDiscountName,
    CASE
        WHEN NOT is_committed THEN NULL
        WHEN committed_use_credit_type = 'COMMITTED_USAGE_DISCOUNT_DOLLAR_BASE' THEN ABS(committed_use_credits)
        ELSE priced_amount
    END AS CommitmentDiscountQuantity,
    IF(is_committed, 'Used', NULL) AS CommitmentDiscountStatus,
    IF(is_committed, 'Committed Use Discount', NULL) AS CommitmentDiscountType,
    CASE
        WHEN NOT is_committed THEN NULL
        WHEN committed_use_credit_type = 'COMMITTED_USAGE_DISCOUNT_DOLLAR_BASE' THEN currency
        ELSE pricing_unit
    END AS CommitmentDiscountUnit,
    IF(category = 'Usage', consumed_amount, NULL) AS ConsumedQuantity,
    IF(category = 'Usage' AND consumed_amount IS NOT NULL, usage_unit, NULL) AS ConsumedUnit,
    cost AS ContractedCost,
    IF(is_priced, contracted_unit_price, NULL) AS ContractedUnitPrice,
    net_cost AS EffectiveCost,
    CAST(NULL AS VARCHAR) AS InvoiceId,
    COALESCE(seller_name, 'Google Cloud') AS InvoiceIssuerName,
    list_cost AS ListCost,
    IF(is_priced, list_unit_price, NULL) AS ListUnitPrice,
    CASE
        WHEN NOT is_priced THEN NULL
        WHEN is_committed OR category = 'Purchase' THEN 'Committed'
        WHEN LOWER(sku_description) LIKE '%spot%' OR LOWER(sku_description) LIKE '%preemptible%' THEN 'Dynamic'
        ELSE 'Standard'
    END AS PricingCategory,
    currency AS PricingCurrency,
    IF(is_priced, contracted_unit_price, NULL) AS PricingCurrencyContractedUnitPrice,
    net_cost AS PricingCurrencyEffectiveCost,
    IF(is_priced, list_unit_price, NULL) AS PricingCurrencyListUnitPrice,
    IF(is_priced, priced_amount, NULL) AS PricingQuantity,
    IF(is_priced AND priced_amount IS NOT NULL, pricing_unit, NULL) AS PricingUnit,
    'Google Cloud' AS ProviderName,
    COALESCE(seller_name, 'Google Cloud') AS PublisherName,
    region AS RegionId,
    region AS RegionName,
    COALESCE(resource_global_name, resource_name) AS ResourceId,
    resource_name AS ResourceName,
    IF(
        resource_name IS NULL, NULL,
        COALESCE(NULLIF(regexp_extract(COALESCE(resource_global_name, resource_name), '/([^/]+)/[^/]+$', 1), ''), 'resource')
    ) AS ResourceType,
    service_category AS ServiceCategory,
    COALESCE(service_description, 'Unknown') AS ServiceName,
    CASE
        WHEN service LIKE '%compute engine%' THEN 'Virtual Machines'
        WHEN service LIKE '%kubernetes%' OR service LIKE '%openshift%' THEN 'Containers'
        WHEN service LIKE '%cloud run%' OR service LIKE '%functions%' THEN 'Serverless Compute'
        WHEN service LIKE '%sql%' OR service LIKE '%spanner%' OR service LIKE '%alloydb%' THEN 'Relational Databases'
        WHEN service LIKE '%bigtable%' OR service LIKE '%firestore%' THEN 'NoSQL Databases'
        WHEN service LIKE '%cloud storage%' THEN 'Object Storage'
        ELSE CONCAT('Other (', service_category, ')')
    END AS ServiceSubcategory,
    IF(category = 'Tax', NULL, sku_id) AS SkuId,
    IF(category = 'Tax', NULL, sku_description) AS SkuMeter,
    CAST(NULL AS VARCHAR) AS SkuPriceDetails,
    IF(is_priced, sku_id || '/' || COALESCE(rtrim(rtrim(price_tier_start::VARCHAR, '0'), '.'), '0'), NULL) AS SkuPriceId,
    project_id AS SubAccountId,
    project_name AS SubAccountName,
    IF(project_id IS NULL, NULL, 'Project') AS SubAccountType,
    '{' || coalesce(array_to_string(
        list_sort(
            list_transform(
                list_filter(labels, lambda l: l.key IS NOT NULL),
                lambda l: '"' || replace(replace(l.key, '\', '\\'), '"', '\"') || '":"'
                    || replace(replace(coalesce(l.value, ''), '\', '\\'), '"', '\"') || '"'
            )
        ),
        ','
    ), '') || '}' AS Tags,
    line_item_id AS x_LineItemId,
    cost_type AS x_CostType,
    credits AS x_Credits,
    invoice_month AS x_InvoiceMonth
FROM classed
{% endmacro %}
