{# Tests against another table or the trailing days; `other` and `published` are whole tables. #}

{% test every_hour_has_usage(model, tenant, column_name=none) %}
WITH used AS (
    SELECT usage_date, COUNT(DISTINCT date_trunc('hour', usage_start_time)) AS hours
    FROM {{ model }}
    WHERE cost_type = 'regular'
    GROUP BY usage_date
),

hours AS (
    SELECT CAST(hour_start AT TIME ZONE '{{ var('timezones')[tenant] }}' AS DATE) AS local_day, COUNT(*) AS hours_of_the_day
    FROM generate_series(
        {{ day_begins(first_day(), tenant) }}, {{ day_begins(last_day() ~ ' + 1', tenant) }} - INTERVAL 1 HOUR,
        INTERVAL 1 HOUR
    ) AS hours(hour_start)
    GROUP BY 1
)

SELECT used.usage_date
FROM used
INNER JOIN hours ON used.usage_date = hours.local_day
WHERE used.hours < hours.hours_of_the_day
{% endtest %}

{% test sums_equal(model, sums, other, column_name=none) %}
SELECT usage_date
FROM (
    SELECT usage_date, {% for here in sums %}{{ here }} AS value_{{ loop.index }}{{ ', ' if not loop.last }}{% endfor %}
    FROM {{ model }}
    UNION ALL
    SELECT usage_date, {% for there in sums.values() %}-{{ there }}{{ ', ' if not loop.last }}{% endfor %}
    FROM {{ other }}
    WHERE {{ in_window() }}
) AS days
GROUP BY usage_date
HAVING {% for here in sums %}SUM(value_{{ loop.index }}) != 0{{ ' OR ' if not loop.last }}{% endfor %}
{% endtest %}

{% test highest_cost_near_trailing_days(model, published, column_name=none) %}
SELECT day.usage_date, day.sku_id
FROM (
    SELECT usage_date, sku_id, MAX(cost) AS highest_cost
    FROM {{ model }}
    WHERE cost_type = 'regular'
    GROUP BY usage_date, sku_id
) AS day
LEFT JOIN (
    SELECT usage_date, sku_id, MAX(cost) AS highest_cost
    FROM {{ published }}
    WHERE usage_date BETWEEN {{ first_day() }} - 14 AND {{ last_day() }} AND cost_type = 'regular'
    GROUP BY usage_date, sku_id
) AS earlier
    ON day.sku_id = earlier.sku_id AND earlier.usage_date BETWEEN day.usage_date - 14 AND day.usage_date - 1
GROUP BY day.usage_date, day.sku_id, day.highest_cost
HAVING day.highest_cost >= 1 AND MAX(earlier.highest_cost) > 0
    AND day.highest_cost > 50 * MAX(earlier.highest_cost)
{% endtest %}

{% test service_cost_near_trailing_days(model, published, column_name=none) %}
SELECT day.usage_date, day.service_id
FROM (
    SELECT usage_date, service_id, SUM(net_cost) AS net_cost FROM {{ model }} GROUP BY usage_date, service_id
) AS day
INNER JOIN (
    SELECT usage_date, service_id, SUM(net_cost) AS net_cost
    FROM {{ published }}
    WHERE usage_date BETWEEN {{ first_day() }} - 14 AND {{ last_day() }}
    GROUP BY usage_date, service_id
) AS earlier
    ON day.service_id = earlier.service_id AND earlier.usage_date BETWEEN day.usage_date - 14 AND day.usage_date - 1
GROUP BY day.usage_date, day.service_id, day.net_cost
HAVING COUNT(*) >= 3 AND day.net_cost >= 10 AND MAX(earlier.net_cost) > 0 AND day.net_cost > 5 * MAX(earlier.net_cost)
{% endtest %}

{% test line_items_near_trailing_days(model, published, column_name=none) %}
SELECT day.usage_date
FROM (
    SELECT usage_date, SUM(line_items) AS line_items FROM {{ model }} GROUP BY usage_date
) AS day
INNER JOIN (
    SELECT usage_date, SUM(line_items) AS line_items
    FROM {{ published }}
    WHERE usage_date BETWEEN {{ first_day() }} - 14 AND {{ last_day() }}
    GROUP BY usage_date
) AS earlier ON earlier.usage_date BETWEEN day.usage_date - 14 AND day.usage_date - 1
GROUP BY day.usage_date, day.line_items
HAVING COUNT(*) >= 3 AND day.line_items * 2 < AVG(earlier.line_items)
{% endtest %}
