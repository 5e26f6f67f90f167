{# Tests of the rows of the invocation's days; each returns the rows at fault, as dbt counts failures. #}

{% test no_rows_where(model, condition, column_name=none) %}
SELECT usage_date FROM {{ model }} WHERE {{ condition }}
{% endtest %}

{% test unique_together(model, columns) %}
SELECT {{ columns | join(', ') }}
FROM {{ model }}
GROUP BY {{ columns | join(', ') }}
HAVING COUNT(*) > 1
{% endtest %}

{% test one_value_for_each(model, column_name, by) %}
SELECT {{ by | join(', ') }}
FROM {{ model }}
GROUP BY {{ by | join(', ') }}
HAVING COUNT(DISTINCT {{ column_name }}) != 1
{% endtest %}

{% test mostly_not_null(model, column_name, mostly) %}
SELECT count({{ column_name }}) AS given FROM {{ model }} HAVING count({{ column_name }}) < {{ mostly }} * count(*)
{% endtest %}

{% test every_day_has_rows(model, column_name) %}
SELECT CAST(days.day AS DATE) AS day
FROM generate_series({{ first_day() }}, {{ last_day() }}, INTERVAL 1 DAY) AS days(day)
ANTI JOIN {{ model }} ON CAST(days.day AS DATE) = {{ column_name }}
{% endtest %}
