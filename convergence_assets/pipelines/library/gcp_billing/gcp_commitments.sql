{% macro until(amount, moment) %}CAST({{ amount }} * TIMESTAMP_DIFF({{ moment }}, f.fee_start, SECOND) / GREATEST(TIMESTAMP_DIFF(f.fee_end, f.fee_start, SECOND), 1) AS NUMERIC){% endmacro %}
{% macro part(amount) %}IF(d.day_end >= f.fee_end, {{ amount }}, {{ until(amount, 'd.day_end') }}) - IF(d.day_start <= f.fee_start, NUMERIC '0', {{ until(amount, 'd.day_start') }}){% endmacro %}
-- What the local days have of the fees of commitments. A fee is spread over its own window: a day has what is due until
-- its end without what was due until its start, so that the parts add up to the fee.
WITH moments AS (
    SELECT
        moment,
        DATE(moment, @timezone) AS local_day
    FROM UNNEST(
        GENERATE_TIMESTAMP_ARRAY(
            @partition_start, TIMESTAMP_SUB(@partition_end, INTERVAL 30 MINUTE), INTERVAL 30 MINUTE
        )
    ) AS moment
),

days AS (
    SELECT
        local_day,
        MIN(moment) AS day_start,
        COALESCE(LEAD(MIN(moment)) OVER (ORDER BY local_day), @partition_end) AS day_end
    FROM moments
    GROUP BY local_day
),

parts AS (
    SELECT
        d.local_day,
        f.* EXCEPT (usage_date),
        f.usage_date AS fee_day,
        GREATEST(f.fee_start, d.day_start) AS part_start,
        LEAST(f.fee_end, d.day_end) AS part_end,
        {{ part('f.fee') }} AS part,
        {{ part('f.utilization_offset') }} AS offset_part,
        CAST(
            f.priced_amount * TIMESTAMP_DIFF(LEAST(f.fee_end, d.day_end), GREATEST(f.fee_start, d.day_start), SECOND)
            / NULLIF(TIMESTAMP_DIFF(f.fee_end, f.fee_start, SECOND), 0) AS NUMERIC
        ) AS purchased_amount
    FROM days AS d
    INNER JOIN gcp_commitment_fees AS f
        ON d.local_day = f.usage_date OR (d.local_day > f.usage_date AND d.day_start < f.fee_end)
    -- No fee's window is longer than a billing month: a check of the line items stops one that is.
    WHERE f.usage_date BETWEEN DATE_SUB(@first_partition_date, INTERVAL 32 DAY) AND @last_partition_date
)

SELECT
    local_day AS usage_date,
    billing_account_id,
    commitment_id,
    currency,
    billing_month,
    MIN(commitment_category) AS commitment_category,
    MIN(line_item_id) AS line_item_id,
    MIN(part_start) AS part_start,
    MAX(part_end) AS part_end,
    SUM(part) AS fee_part,
    SUM(offset_part) AS offset_part,
    SUM(IF(local_day = fee_day, utilization_offset, NUMERIC '0')) AS billed_offset,
    SUM(purchased_amount) AS purchased_amount,
    -- Amounts of different units do not add up.
    IF(COUNT(DISTINCT pricing_unit) = 1, MIN(pricing_unit), NULL) AS pricing_unit,
    MIN(service_id) AS service_id,
    MIN(service_description) AS service_description,
    MIN(sku_id) AS sku_id,
    MIN(sku_description) AS sku_description,
    MIN(project_id) AS project_id,
    MIN(project_name) AS project_name,
    MIN(region) AS region,
    FORMAT_DATE('%Y%m', billing_month) AS invoice_month,
    ARRAY_AGG(line_item_id ORDER BY line_item_id) AS fee_line_item_ids
FROM parts
GROUP BY local_day, billing_account_id, commitment_id, currency, billing_month
