-- The fees that began on earlier days and reach into a day.
WITH days AS (
    SELECT
        DATE(moment, @timezone) AS local_day,
        MIN(moment) AS day_start
    FROM
        UNNEST(
            GENERATE_TIMESTAMP_ARRAY(
                @partition_start, TIMESTAMP_SUB(@partition_end, INTERVAL 30 MINUTE), INTERVAL 30 MINUTE
            )
        ) AS moment
    GROUP BY local_day
)

SELECT
    d.local_day AS day,
    TO_HEX(SHA256(STRING_AGG(f.line_item_id, ',' ORDER BY f.line_item_id))) AS marker
FROM days AS d
INNER JOIN gcp_commitment_fees AS f ON d.local_day > f.usage_date AND d.day_start < f.fee_end
WHERE f.usage_date BETWEEN DATE_SUB(@first_partition_date, INTERVAL 32 DAY) AND @last_partition_date
GROUP BY d.local_day
