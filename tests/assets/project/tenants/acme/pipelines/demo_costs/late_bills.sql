SELECT
    DATE(b.used_at, @timezone) AS day,
    MAX(b.exported_at) AS marker
FROM bills AS b
WHERE b.used_at >= @partition_start AND b.used_at < @partition_end
GROUP BY day
