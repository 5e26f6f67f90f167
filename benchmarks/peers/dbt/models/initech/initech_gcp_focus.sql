{{ config(alias='gcp_focus') }}
{{ gcp_focus('initech') }}
