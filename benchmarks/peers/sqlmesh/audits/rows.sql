AUDIT (name no_rows_where);
SELECT * FROM @this_model WHERE @condition;

AUDIT (name few_rows_where, blocking false);
SELECT * FROM @this_model WHERE @condition;

AUDIT (name one_value_for_each);
SELECT @EACH(@by, c -> c) FROM @this_model GROUP BY @EACH(@by, c -> c) HAVING COUNT(DISTINCT @column) != 1;

AUDIT (name every_day_has_rows);
SELECT CAST(days.day AS DATE) AS day
FROM generate_series(CAST(@start_ds AS DATE), CAST(@end_ds AS DATE), INTERVAL 1 DAY) AS days(day)
WHERE NOT CAST(days.day AS DATE) IN (SELECT usage_date FROM @this_model);
