-- When Google last appended rows for a local day.
SELECT
    DATE(e.ChargePeriodStart, @timezone) AS day,
    MAX(e.x_ExportTime) AS marker
FROM focus_export AS e
WHERE
    e.ChargePeriodStart >= @partition_start
    AND e._PARTITIONTIME >= TIMESTAMP_TRUNC(@partition_start, DAY)
    AND e.ChargePeriodStart < @partition_end
GROUP BY day
