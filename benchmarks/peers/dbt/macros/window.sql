{# The days of an invocation: --event-time-start 2026-10-01 --event-time-end 2026-10-08, the end exclusive. Other than
   --vars, these flags leave the parsed project valid, which saves a parse an invocation. #}
{% macro first_day() %}DATE '{{ invocation_args_dict.event_time_start }}'{% endmacro %}

{% macro last_day() %}DATE '{{ invocation_args_dict.event_time_end }}' - 1{% endmacro %}

{% macro in_window(column='usage_date') %}{{ column }} BETWEEN {{ first_day() }} AND {{ last_day() }}{% endmacro %}

{% macro day_begins(day, tenant) %}CAST({{ day }} AS TIMESTAMP) AT TIME ZONE '{{ var('timezones')[tenant] }}'{% endmacro %}

{# Tests look at the days of the invocation alone, as dbt's documentation advises for large tables. #}
{% macro get_where_subquery(relation) %}
    {% do return('(SELECT * FROM ' ~ relation ~ ' WHERE ' ~ in_window() ~ ') AS batch') %}
{% endmacro %}
