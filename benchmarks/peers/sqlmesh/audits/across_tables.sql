AUDIT (name every_hour_has_usage);
WITH used AS (
    SELECT usage_date, COUNT(DISTINCT date_trunc('hour', usage_start_time)) AS hours
    FROM @this_model
    WHERE cost_type = 'regular'
    GROUP BY usage_date
), hours AS (
    SELECT CAST(hour_start AT TIME ZONE @timezone AS DATE) AS local_day, COUNT(*) AS hours_of_the_day
    FROM generate_series(
        CAST(@start_ds AS TIMESTAMP) AT TIME ZONE @timezone,
        CAST(CAST(@end_ds AS DATE) + 1 AS TIMESTAMP) AT TIME ZONE @timezone - INTERVAL 1 HOUR,
        INTERVAL 1 HOUR
    ) AS hours(hour_start)
    GROUP BY 1
)
SELECT used.usage_date
FROM used
INNER JOIN hours ON used.usage_date = hours.local_day
WHERE used.hours < hours.hours_of_the_day;

AUDIT (name sums_equal);
SELECT usage_date
FROM (
    SELECT usage_date, @here AS amount FROM @this_model
    UNION ALL
    SELECT usage_date, -@there AS amount FROM @{tenant}.gcp_cost_line_items WHERE usage_date BETWEEN @start_ds AND @end_ds
) AS days
GROUP BY usage_date
HAVING SUM(amount) != 0;

AUDIT (name two_sums_equal);
SELECT usage_date
FROM (
    SELECT usage_date, @here AS amount, @here_too AS other_amount FROM @this_model
    UNION ALL
    SELECT usage_date, -@there AS amount, -@there_too AS other_amount
    FROM @{tenant}.gcp_cost_line_items
    WHERE usage_date BETWEEN @start_ds AND @end_ds
) AS days
GROUP BY usage_date
HAVING SUM(amount) != 0 OR SUM(other_amount) != 0;

AUDIT (name highest_cost_near_trailing_days);
SELECT day.usage_date, day.sku_id
FROM (
    SELECT usage_date, sku_id, MAX(cost) AS highest_cost
    FROM @this_model
    WHERE cost_type = 'regular'
    GROUP BY usage_date, sku_id
) AS day
LEFT JOIN (
    SELECT usage_date, sku_id, MAX(cost) AS highest_cost
    FROM @{tenant}.gcp_cost_line_items
    WHERE usage_date BETWEEN CAST(@start_ds AS DATE) - 14 AND CAST(@end_ds AS DATE) AND cost_type = 'regular'
    GROUP BY usage_date, sku_id
) AS earlier
    ON day.sku_id = earlier.sku_id AND earlier.usage_date BETWEEN day.usage_date - 14 AND day.usage_date - 1
GROUP BY day.usage_date, day.sku_id, day.highest_cost
HAVING day.highest_cost >= 1 AND MAX(earlier.highest_cost) > 0
    AND day.highest_cost > 50 * MAX(earlier.highest_cost);

AUDIT (name service_cost_near_trailing_days, blocking false);
SELECT day.usage_date, day.service_id
FROM (
    SELECT usage_date, service_id, SUM(net_cost) AS net_cost FROM @this_model GROUP BY usage_date, service_id
) AS day
INNER JOIN (
    SELECT usage_date, service_id, SUM(net_cost) AS net_cost
    FROM @{tenant}.gcp_cost_daily
    WHERE usage_date BETWEEN CAST(@start_ds AS DATE) - 14 AND CAST(@end_ds AS DATE)
    GROUP BY usage_date, service_id
) AS earlier
    ON day.service_id = earlier.service_id AND earlier.usage_date BETWEEN day.usage_date - 14 AND day.usage_date - 1
GROUP BY day.usage_date, day.service_id, day.net_cost
HAVING COUNT(*) >= 3 AND day.net_cost >= 10 AND MAX(earlier.net_cost) > 0 AND day.net_cost > 5 * MAX(earlier.net_cost);

AUDIT (name line_items_near_trailing_days, blocking false);
SELECT day.usage_date
FROM (
    SELECT usage_date, SUM(line_items) AS line_items FROM @this_model GROUP BY usage_date
) AS day
INNER JOIN (
    SELECT usage_date, SUM(line_items) AS line_items
    FROM @{tenant}.gcp_cost_daily
    WHERE usage_date BETWEEN CAST(@start_ds AS DATE) - 14 AND CAST(@end_ds AS DATE)
    GROUP BY usage_date
) AS earlier ON earlier.usage_date BETWEEN day.usage_date - 14 AND day.usage_date - 1
GROUP BY day.usage_date, day.line_items
HAVING COUNT(*) >= 3 AND day.line_items * 2 < AVG(earlier.line_items);
