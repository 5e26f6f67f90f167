-- When Google last appended rows for a local day of usage.
SELECT
    DATE(e.usage_start_time, @timezone) AS day,
    MAX(e.export_time) AS marker
FROM billing_export AS e
WHERE
    e.usage_start_time >= @partition_start
    {% if not export_is_view %}
        AND e._PARTITIONTIME >= TIMESTAMP_TRUNC(@partition_start, DAY)
    {% endif %}
    AND e.usage_start_time < @partition_end
GROUP BY day
