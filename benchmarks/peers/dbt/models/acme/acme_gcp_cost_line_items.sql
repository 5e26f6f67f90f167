{{ config(alias='gcp_cost_line_items') }}
{{ gcp_cost_line_items('acme') }}
