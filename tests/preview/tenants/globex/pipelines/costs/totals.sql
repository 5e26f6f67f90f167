SELECT
    day,
    service,
    SUM(cost) AS total,
    currency
FROM lines
WHERE day BETWEEN @first_partition_date AND @last_partition_date
GROUP BY day, service, currency
