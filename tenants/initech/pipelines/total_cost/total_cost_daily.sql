-- The cloud's daily cost and the licences', one below the other, each with its share of the day.
WITH costs AS (
    SELECT
        usage_date,
        'Google Cloud' AS provider,
        COALESCE(service_description, 'Unknown') AS service,
        currency,
        CAST(net_cost AS NUMERIC) AS amount
    FROM gcp_cost_daily
    WHERE usage_date BETWEEN @first_partition_date AND @last_partition_date
    UNION ALL
    SELECT
        usage_date,
        vendor AS provider,
        product AS service,
        currency,
        daily_cost AS amount
    FROM licences
    WHERE usage_date BETWEEN @first_partition_date AND @last_partition_date
),

services AS (
    SELECT
        usage_date,
        provider,
        service,
        currency,
        SUM(amount) AS total
    FROM costs
    GROUP BY usage_date, provider, service, currency
)

SELECT
    s.usage_date,
    s.provider,
    s.service,
    s.currency,
    s.total AS net_cost,
    SAFE_DIVIDE(s.total, SUM(s.total) OVER (PARTITION BY s.usage_date, s.currency)) AS share_of_day
FROM services AS s
