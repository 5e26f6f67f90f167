SELECT
  DATE(used_at, @timezone) AS day,
  used_at,
  CAST(cost AS NUMERIC) AS cost
FROM bills
WHERE
  _PARTITIONTIME >= TIMESTAMP_TRUNC(@partition_start, DAY)
  AND used_at >= @partition_start
  AND used_at < @partition_end
