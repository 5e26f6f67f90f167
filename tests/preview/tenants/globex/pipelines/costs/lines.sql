SELECT
    DATE(used_at, @timezone) AS day,
    used_at,
    service,
    region,
    cost,
    currency
FROM bills
WHERE used_at >= @partition_start AND used_at < @partition_end
