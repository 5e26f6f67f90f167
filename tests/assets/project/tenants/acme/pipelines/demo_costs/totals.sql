SELECT
  day,
  SUM(cost) AS cost,
  AVG(cost) AS mean
FROM lines
WHERE day BETWEEN @first_partition_date AND @last_partition_date
GROUP BY day
