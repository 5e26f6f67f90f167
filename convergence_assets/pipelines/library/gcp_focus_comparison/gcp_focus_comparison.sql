-- Both tables one below the other, then one row for each project with the sums of each.
WITH charges AS (
    SELECT
        x_UsageDate AS usage_date,
        BillingAccountId,
        SubAccountId,
        BillingCurrency,
        BilledCost AS ours,
        CAST(0 AS NUMERIC) AS googles
    FROM gcp_focus
    WHERE x_UsageDate BETWEEN @first_partition_date AND @last_partition_date
    UNION ALL
    SELECT
        x_UsageDate AS usage_date,
        BillingAccountId,
        SubAccountId,
        BillingCurrency,
        CAST(0 AS NUMERIC) AS ours,
        BilledCost AS googles
    FROM gcp_focus_export
    WHERE x_UsageDate BETWEEN @first_partition_date AND @last_partition_date
)

SELECT
    usage_date,
    BillingAccountId,
    SubAccountId,
    BillingCurrency,
    SUM(ours) AS billed_cost,
    SUM(googles) AS google_billed_cost,
    SUM(ours) - SUM(googles) AS difference
FROM charges
GROUP BY usage_date, BillingAccountId, SubAccountId, BillingCurrency
