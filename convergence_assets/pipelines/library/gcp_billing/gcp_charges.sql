{% macro exactly(amount, at, whole) %}ROUND(CAST({{ amount }} * 1000000000 * {{ at }} / {{ whole }} AS NUMERIC)) / 1000000000{% endmacro %}
{% macro fits(amount, whole) %}ABS({{ amount }}) < 9000000000 AND ABS({{ whole }}) < 9000000000{% endmacro %}
{% macro nearly(amount, at, whole) %}{{ amount }} * CAST({{ at }} / {{ whole }} AS NUMERIC){% endmacro %}
{% macro part(a, at, w) %}IF({{ fits(a, w) }}, {{ exactly(a, at, w) }}, {{ nearly(a, at, w) }}){% endmacro %}
{% macro until(a, at, w) %}CASE {{ at }} WHEN {{ w }} THEN {{ a }} WHEN 0 THEN {{ a }} * 0 ELSE {{ part(a, at, w) }} END{% endmacro %}
{% macro by_resource(id, unit) %}IF(COALESCE({{ unit }}, 'hour') = 'hour', {{ id }}, CONCAT({{ id }}, '/', REPLACE({{ unit }}, ' ', '-'))){% endmacro %}
{% macro piece(amount) %}CAST({{ until(amount, 'to_cost', 'whole') }} - {{ until(amount, 'from_cost', 'whole') }} AS NUMERIC){% endmacro %}
-- The charges that the line items of the local days come to: one a row, more where a commitment covers a part or
-- credits are applied afterwards, and what each commitment has left. docs/FOCUS.md says by which rules. Amounts are
-- multiplied in billionths, which leaves no rest; beyond 9e9 (byte-seconds) that is too large for NUMERIC.
WITH exported AS (
    SELECT
        usage_date,
        line_item_id,
        billing_account_id,
        currency,
        cost,
        pricing_unit,
        credit_details,
        consumption_model_description,
        COALESCE(list_cost, cost) AS list_cost,
        -- Without the commitment that it is charged by.
        IF(
            LOWER(COALESCE(consumption_model_description, 'default')) != 'default',
            COALESCE(cost_at_effective_price_default, cost), cost
        ) AS negotiated_cost,
        CAST(usage_amount AS NUMERIC) AS consumed_amount,
        CAST(pricing_amount AS NUMERIC) AS priced_amount,
        NULLIF(TRIM(subscription_instance_id), '') AS subscription_id,
        -- Since 2026 usage that a spend-based commitment covers is a row of its own, without a credit; its consumption
        -- model is the commitment's: https://cloud.google.com/docs/cuds-multiprice-datamodel
        LOWER(COALESCE(consumption_model_description, 'default')) != 'default' AS is_at_commitment_price,
        adjustment_id IS NOT NULL AS is_adjusted,
        -- A billing month of Google begins at midnight in Los Angeles.
        DATE_TRUNC(DATE(usage_start_time, 'America/Los_Angeles'), MONTH) AS usage_month,
        IF(
            REGEXP_CONTAINS(invoice_month, '^[0-9]{4}(0[1-9]|1[0-2])$'),
            PARSE_DATE('%Y%m%d', CONCAT(invoice_month, '01')),
            DATE_TRUNC(DATE(usage_start_time, 'America/Los_Angeles'), MONTH)
        ) AS billing_month,
        CASE
            WHEN cost_type = 'tax' THEN 'Tax'
            WHEN cost_type IN ('adjustment', 'rounding_error') THEN 'Adjustment'
            WHEN STARTS_WITH(sku_description, 'Commitment') THEN 'Purchase'
            ELSE 'Usage'
        END AS category,
        -- What the row costs, without the credits that are applied afterwards.
        net_cost - COALESCE(
            (
                SELECT SUM(c.amount) FROM UNNEST(credit_details) AS c
                WHERE NOT c.is_rate_reduction
            ), NUMERIC '0'
        ) AS own_cost
    FROM gcp_cost_line_items
    WHERE usage_date BETWEEN @first_partition_date AND @last_partition_date
),

directed AS (
    SELECT
        *,
        is_adjusted AND usage_month < billing_month AS is_correction,
        -- Whether it is charged or given back.
        COALESCE(
            NULLIF(SIGN(cost), 0), NULLIF(SIGN(list_cost), 0), NULLIF(SIGN(negotiated_cost), 0), SIGN(priced_amount), 1
        ) AS direction,
        COALESCE(priced_amount, NUMERIC '0') = 0
        AND GREATEST(ABS(cost), ABS(list_cost), ABS(negotiated_cost)) > NUMERIC '0.000001' AS costs_without_quantity
    FROM exported
),

-- Usage and purchases are a price, not below 0, by a quantity, but for corrections of an invoiced month. So a flat fee
-- is usage of one, usage that is given back without a quantity an adjustment, and with one it has it below 0.
items AS (
    SELECT
        * EXCEPT (category, list_cost, negotiated_cost, consumed_amount, priced_amount),
        category = 'Purchase' AS is_of_commitment,
        CASE
            WHEN is_correction OR category != 'Usage' THEN category
            WHEN consumed_amount IS NOT NULL AND priced_amount IS NOT NULL AND NOT costs_without_quantity THEN category
            WHEN direction >= 0 AND NOT is_adjusted THEN category
            ELSE 'Adjustment'
        END AS category,
        IF(is_correction OR SIGN(list_cost) * direction >= 0, list_cost, cost) AS list_cost,
        IF(is_correction OR SIGN(negotiated_cost) * direction >= 0, negotiated_cost, cost) AS negotiated_cost,
        CASE
            WHEN is_correction THEN consumed_amount
            WHEN SIGN(priced_amount) * direction < 0 THEN -consumed_amount
            ELSE COALESCE(consumed_amount, 0)
        END AS consumed_amount,
        CASE
            WHEN is_correction THEN priced_amount
            WHEN priced_amount IS NULL OR costs_without_quantity THEN CAST(direction AS NUMERIC)
            WHEN SIGN(priced_amount) * direction >= 0 THEN priced_amount
            ELSE -priced_amount
        END AS priced_amount
    FROM directed
),

-- Usage at a commitment's price that does not say whose it is, where only one commitment of its term has a fee.
lone_commitments AS (
    SELECT
        d.usage_date,
        d.billing_account_id,
        d.currency,
        d.billing_month,
        COALESCE(REGEXP_EXTRACT(d.sku_description, '([0-9]+) ?[Yy]ear'), '') AS term,
        MIN(d.commitment_id) AS commitment_id
    FROM gcp_commitments AS d
    WHERE d.commitment_category = 'Spend' AND d.usage_date BETWEEN @first_partition_date AND @last_partition_date
    GROUP BY d.usage_date, d.billing_account_id, d.currency, d.billing_month, term
    HAVING COUNT(DISTINCT d.commitment_id) = 1
),

-- The former model: a credit takes off what the commitment covers, at the price without it.
commitment_credits AS (
    SELECT
        i.usage_date,
        i.line_item_id,
        i.cost,
        -- One of cores and of memory is two, as in gcp_commitment_fees.
        IF(
            c.type = 'COMMITTED_USAGE_DISCOUNT_DOLLAR_BASE', c.id, {{ by_resource('c.id', 'i.pricing_unit') }}
        ) AS credit_id,
        COALESCE(c.full_name, c.name, c.id) AS label,
        MIN(c.type) = 'COMMITTED_USAGE_DISCOUNT_DOLLAR_BASE' AS is_spend_based,
        -SUM(c.amount) AS piece_cost
    FROM items AS i
    CROSS JOIN UNNEST(i.credit_details) AS c
    WHERE i.category = 'Usage' AND NOT i.is_at_commitment_price AND STARTS_WITH(c.type, 'COMMITTED_USAGE_DISCOUNT')
    GROUP BY i.usage_date, i.line_item_id, i.cost, credit_id, label
    HAVING SUM(c.amount) < 0
),

-- The pieces of usage that is covered, and last the piece that is not. Credits above the cost leave the charge whole,
-- with the first commitment.
pieces AS (
    SELECT
        *,
        SUM(piece_cost) OVER item <= cost AS is_split,
        SUM(IF(is_uncovered, NUMERIC '0', piece_cost)) OVER item AS covered_cost,
        SUM(piece_cost) OVER until_it AS cost_until,
        ROW_NUMBER() OVER (item ORDER BY is_uncovered, label, credit_id) AS piece_number
    FROM (
        SELECT
            *,
            FALSE AS is_uncovered
        FROM commitment_credits
        UNION ALL
        SELECT
            c.usage_date,
            c.line_item_id,
            c.cost,
            CAST(NULL AS STRING) AS credit_id,
            CAST(NULL AS STRING) AS label,
            FALSE AS is_spend_based,
            c.cost - SUM(c.piece_cost) AS piece_cost,
            TRUE AS is_uncovered
        FROM commitment_credits AS c
        GROUP BY c.usage_date, c.line_item_id, c.cost
        HAVING SUM(c.piece_cost) < c.cost
    ) AS each_piece
    WINDOW
        item AS (PARTITION BY usage_date, line_item_id),
        until_it AS (
            item ORDER BY is_uncovered, label, credit_id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        )
),

-- Each line item, or each piece of it, with the commitment whose fee it is or that covers it.
shares AS (
    SELECT
        i.*,
        f.fee,
        COALESCE(p.piece_number, 1) AS piece_number,
        IF(p.is_split, p.piece_cost, i.cost) AS piece_cost,
        i.category = 'Usage' AND COALESCE(NOT p.is_uncovered, i.is_at_commitment_price) AS is_covered,
        COALESCE(said.commitment_id, lone.commitment_id) IS NOT NULL AS has_fee,
        COALESCE(
            f.commitment_id, said.commitment_id, lone.commitment_id,
            -- A label, as `Committed Usage Discount: CPU`, is no id.
            IF(REGEXP_CONTAINS(p.credit_id, '[ :]'), NULL, p.credit_id),
            IF(i.category = 'Usage' AND i.is_at_commitment_price, i.subscription_id, NULL)
        ) AS commitment_id,
        COALESCE(
            f.commitment_category, said.commitment_category, IF(COALESCE(p.is_spend_based, TRUE), 'Spend', 'Usage')
        ) AS commitment_category,
        COALESCE(
            p.label, IF(i.is_at_commitment_price, i.consumption_model_description, NULL)
        ) AS commitment_label,
        CASE
            WHEN f.fee IS NOT NULL THEN f.fee
            WHEN p.line_item_id IS NULL OR NOT p.is_split THEN i.own_cost
            ELSE
                IF(p.is_uncovered, p.piece_cost, NUMERIC '0')
                -- Other reductions of the price are the last piece's.
                + IF(p.cost_until = i.cost, i.own_cost - i.cost + p.covered_cost, NUMERIC '0')
        END AS billed_cost,
        -- A piece has what its charge has until its end, without what it has until its start.
        IF(p.is_split, p.cost_until, NUMERIC '1') AS to_cost,
        IF(p.is_split, p.cost_until - p.piece_cost, NUMERIC '0') AS from_cost,
        IF(p.is_split, i.cost, NUMERIC '1') AS whole
    FROM items AS i
    LEFT JOIN pieces AS p
        ON
            i.usage_date = p.usage_date AND i.line_item_id = p.line_item_id AND (p.is_split OR p.piece_number = 1)
    LEFT JOIN gcp_commitment_fees AS f
        ON
            i.usage_date = f.usage_date AND i.line_item_id = f.line_item_id
            AND f.usage_date BETWEEN @first_partition_date AND @last_partition_date
    LEFT JOIN gcp_commitments AS said
        ON
            i.category = 'Usage' AND i.usage_date = said.usage_date AND i.billing_account_id = said.billing_account_id
            AND i.currency = said.currency AND i.billing_month = said.billing_month
            AND said.usage_date BETWEEN @first_partition_date AND @last_partition_date
            AND COALESCE(p.credit_id, IF(i.is_at_commitment_price, i.subscription_id, NULL)) = said.commitment_id
    LEFT JOIN lone_commitments AS lone
        ON
            i.category = 'Usage' AND i.is_at_commitment_price AND i.subscription_id IS NULL
            AND i.usage_date = lone.usage_date AND i.billing_account_id = lone.billing_account_id
            AND i.currency = lone.currency AND i.billing_month = lone.billing_month
            AND COALESCE(REGEXP_EXTRACT(i.consumption_model_description, '([0-9]+) ?[Yy]ear'), '') = lone.term
),

measured AS (
    SELECT
        *,
        {{ piece('list_cost') }} AS piece_list_cost,
        {{ piece('consumed_amount') }} AS piece_consumed,
        {{ piece('priced_amount') }} AS piece_priced,
        IF(is_at_commitment_price AND category = 'Usage', negotiated_cost, piece_cost) AS contracted_cost,
        -- What covered usage takes of a commitment of an amount of money, as far as the export says it.
        IF(is_at_commitment_price, own_cost, piece_cost) AS drawn
    FROM shares
),

covered AS (
    SELECT
        m.usage_date,
        m.line_item_id,
        m.piece_number,
        m.billing_account_id,
        m.commitment_id,
        m.currency,
        m.billing_month,
        CASE
            WHEN d.fee_part <= 0 THEN NUMERIC '0'
            WHEN
                d.purchased_amount > 0 AND MIN(
                    CASE
                        WHEN m.commitment_category = 'Spend' THEN IF(m.is_at_commitment_price, 0, 1)
                        ELSE IF(m.piece_priced >= 0 AND m.pricing_unit = d.pricing_unit, 1, 0)
                    END
                ) OVER of_the_day = 1
                THEN CAST(
                    d.fee_part * LEAST(
                        CAST(
                            GREATEST(
                                SUM(IF(m.commitment_category = 'Spend', m.drawn, m.piece_priced)) OVER of_the_day,
                                NUMERIC '0'
                            ) / d.purchased_amount AS NUMERIC
                        ), NUMERIC '1'
                    ) AS NUMERIC
                )
            ELSE LEAST(d.fee_part, GREATEST(SUM(m.drawn) OVER of_the_day, NUMERIC '0'))
        END AS used,
        SUM(GREATEST(m.piece_list_cost, NUMERIC '0')) OVER of_the_day AS list_in_all,
        SUM(GREATEST(m.piece_list_cost, NUMERIC '0')) OVER (
            of_the_day ORDER BY m.line_item_id, m.piece_number ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS list_until,
        GREATEST(m.piece_list_cost, NUMERIC '0') AS list_of_it,
        IF(m.is_at_commitment_price, m.billed_cost, NUMERIC '0') AS cost_until_offset
    FROM measured AS m
    INNER JOIN gcp_commitments AS d
        ON
            m.usage_date = d.usage_date AND m.billing_account_id = d.billing_account_id
            AND m.commitment_id = d.commitment_id AND m.currency = d.currency AND m.billing_month = d.billing_month
            AND d.usage_date BETWEEN @first_partition_date AND @last_partition_date
    WHERE m.is_covered AND m.has_fee
    WINDOW
        of_the_day AS (
            PARTITION BY m.usage_date, m.billing_account_id, m.commitment_id, m.currency, m.billing_month
        )
),

spread AS (
    SELECT
        *,
        IF(
            list_in_all > 0,
            CAST(
                {{ until('used', 'list_until', 'list_in_all') }}
                - {{ until('used', '(list_until - list_of_it)', 'list_in_all') }} AS NUMERIC
            ),
            NUMERIC '0'
        ) AS effective_cost
    FROM covered
),

spent AS (
    SELECT
        usage_date,
        billing_account_id,
        commitment_id,
        currency,
        billing_month,
        SUM(effective_cost) AS effective_cost,
        SUM(cost_until_offset) AS cost_until_offset
    FROM spread
    GROUP BY usage_date, billing_account_id, commitment_id, currency, billing_month
),

-- What the day's usage leaves of a commitment, and what it and the offset leave of each other. An offset is billed on
-- the day of its fee, and in effect on each day of the fee's window.
remainders AS (
    SELECT
        d.usage_date,
        d.line_item_id,
        d.commitment_id,
        d.commitment_category,
        d.billing_month,
        d.fee_part,
        d.purchased_amount,
        d.fee_part - COALESCE(s.effective_cost, NUMERIC '0') AS remainder,
        d.billed_offset + COALESCE(s.cost_until_offset, NUMERIC '0') AS offset_billed,
        d.offset_part + COALESCE(s.cost_until_offset, NUMERIC '0') AS offset_effective
    FROM gcp_commitments AS d
    LEFT JOIN spent AS s
        ON
            d.usage_date = s.usage_date AND d.billing_account_id = s.billing_account_id
            AND d.commitment_id = s.commitment_id AND d.currency = s.currency AND d.billing_month = s.billing_month
    WHERE d.usage_date BETWEEN @first_partition_date AND @last_partition_date
),

-- The fee's row bears the fee, covered usage bears nothing: its own cost cancels with its credit, or with the offset at
-- the fee. What they do not cancel is a charge of its own: other reductions of the price by line item, offsets by
-- commitment. Credits that are applied afterwards are charges, too.
beside AS (
    SELECT
        usage_date,
        line_item_id,
        'reduction' AS part,
        piece_number AS part_number,
        billing_month,
        billed_cost,
        billed_cost AS effective_cost,
        COALESCE(commitment_label, commitment_id) AS label,
        'reductions of the price beside the commitment' AS note
    FROM measured
    WHERE has_fee AND NOT is_at_commitment_price AND billed_cost != 0
    UNION ALL
    SELECT
        i.usage_date,
        i.line_item_id,
        'credit' AS part,
        ROW_NUMBER() OVER (PARTITION BY i.usage_date, i.line_item_id ORDER BY c.type, c.id, c.name, c.full_name)
            AS part_number,
        i.billing_month,
        SUM(c.amount) AS billed_cost,
        SUM(c.amount) AS effective_cost,
        COALESCE(c.full_name, c.name, c.id) AS label,
        c.type AS note
    FROM items AS i
    CROSS JOIN UNNEST(i.credit_details) AS c
    WHERE NOT c.is_rate_reduction
    GROUP BY i.usage_date, i.line_item_id, i.billing_month, c.type, c.id, c.name, c.full_name
    HAVING SUM(c.amount) != 0
    UNION ALL
    SELECT
        usage_date,
        line_item_id,
        'offset' AS part,
        1 AS part_number,
        billing_month,
        offset_billed AS billed_cost,
        offset_effective AS effective_cost,
        commitment_id AS label,
        'the offset at the fee is not what the covered usage costs' AS note
    FROM remainders
    WHERE offset_billed != 0 OR offset_effective != 0
)

SELECT
    m.usage_date,
    m.line_item_id,
    IF(m.is_covered, 'covered', IF(m.from_cost > 0, 'uncovered', 'whole')) AS part,
    m.piece_number AS part_number,
    m.category AS charge_category,
    m.billing_month,
    IF(m.has_fee, NUMERIC '0', m.billed_cost) AS billed_cost,
    CASE
        WHEN m.fee IS NOT NULL THEN NUMERIC '0'
        WHEN m.has_fee THEN s.effective_cost
        ELSE m.billed_cost
    END AS effective_cost,
    m.piece_list_cost AS list_cost,
    m.contracted_cost,
    m.piece_consumed AS consumed_amount,
    m.piece_priced AS priced_amount,
    IF(m.has_fee, NUMERIC '0', m.billed_cost) - m.piece_cost AS credits,
    -- An id without a fee would break the sum of what the commitment covers.
    IF(m.has_fee OR m.fee IS NOT NULL, m.commitment_id, NULL) AS commitment_id,
    IF(m.is_covered OR m.fee IS NOT NULL, m.commitment_category, NULL) AS commitment_category,
    IF(m.is_covered, 'Used', NULL) AS commitment_status,
    CASE
        WHEN m.commitment_category = 'Usage' THEN m.piece_priced
        WHEN m.is_covered THEN IF(m.is_at_commitment_price, m.drawn, COALESCE(s.effective_cost, m.drawn))
        WHEN m.fee IS NOT NULL THEN m.cost
    END AS commitment_amount,
    IF(m.is_covered AND NOT m.has_fee, COALESCE(m.commitment_id, m.commitment_label), m.commitment_label) AS label,
    CASE
        WHEN NOT m.is_covered AND (m.fee IS NOT NULL OR NOT m.is_of_commitment) THEN NULL
        WHEN m.commitment_id IS NULL THEN 'the export does not say which commitment'
        WHEN NOT m.has_fee THEN 'the export has no fee of the commitment for the day in this billing month'
    END AS note
FROM measured AS m
LEFT JOIN spread AS s
    ON m.usage_date = s.usage_date AND m.line_item_id = s.line_item_id AND m.piece_number = s.piece_number
UNION ALL
SELECT
    usage_date,
    line_item_id,
    'unused' AS part,
    1 AS part_number,
    'Usage' AS charge_category,
    billing_month,
    0 AS billed_cost,
    remainder AS effective_cost,
    0 AS list_cost,
    0 AS contracted_cost,
    CAST(NULL AS NUMERIC) AS consumed_amount,
    0 AS priced_amount,
    0 AS credits,
    commitment_id,
    commitment_category,
    'Unused' AS commitment_status,
    -- Null where the export does not say what is committed to.
    IF(
        commitment_category = 'Usage',
        CAST(purchased_amount * CAST(remainder / NULLIF(fee_part, 0) AS NUMERIC) AS NUMERIC), remainder
    ) AS commitment_amount,
    CAST(NULL AS STRING) AS label,
    CAST(NULL AS STRING) AS note
FROM remainders
WHERE remainder != 0
UNION ALL
SELECT
    usage_date,
    line_item_id,
    part,
    part_number,
    IF(part = 'credit', 'Credit', 'Adjustment') AS charge_category,
    billing_month,
    billed_cost,
    effective_cost,
    billed_cost AS list_cost,
    billed_cost AS contracted_cost,
    CAST(NULL AS NUMERIC) AS consumed_amount,
    CAST(NULL AS NUMERIC) AS priced_amount,
    billed_cost AS credits,
    CAST(NULL AS STRING) AS commitment_id,
    CAST(NULL AS STRING) AS commitment_category,
    CAST(NULL AS STRING) AS commitment_status,
    CAST(NULL AS NUMERIC) AS commitment_amount,
    label,
    note
FROM beside
