{{ config(alias='gcp_cost_daily') }}
{{ gcp_cost_daily('initech') }}
