{# A tenant's tables lie in its own schema. #}
{% macro generate_schema_name(custom_schema_name, node) %}{{ custom_schema_name or target.schema }}{% endmacro %}

{# An amount as text, whole units and billionths apart. #}
{% macro amount_text(amount) -%}
CAST({{ amount }} AS BIGINT) || '.' || CAST(({{ amount }} - CAST({{ amount }} AS BIGINT)) * 1000000000 AS BIGINT)
{%- endmacro %}
