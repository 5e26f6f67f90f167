-- FORMAT
SELECT FORMAT('%.0d|%.0i|%5.0d|%+.d|%.0x|%.0o', x, x, x, x, x, x), FORMAT("%'.0d", x) FROM UNNEST([0, 1, -1]) x
SELECT FORMAT('%d', x), FORMAT('%i', x), FORMAT('%5d|%-5d|%05d|%+d|% d', x, x, x, x, x), FORMAT("%'d", x), FORMAT("%'20d|%'020d|%-'20d", x, x, x), FORMAT('%.5d|%8.5d|%-8.5d|%08.5d', x, x, x, x), FORMAT('%x|%X|%o|%#x|%#X|%#o', x, x, x, x, x, x), FORMAT("%'x|%'o|%010x|%.8x|%#.8o", x, x, x, x, x), FORMAT('%t|%T', x, x) FROM UNNEST([0, 1, -1, 255, -255, 123456, 1234567, 9223372036854775807, -9223372036854775808, NULL]) x
SELECT FORMAT('%f', x), FORMAT('%.2f|%10.2f|%-10.2f|%010.2f|%+.1f|% f', x, x, x, x, x, x), FORMAT("%'.2f|%'020.2f", x, x), FORMAT('%.0f|%#.0f|%.10f', x, x, x), FORMAT('%e|%E|%.2e|%#.0e', x, x, x, x), FORMAT('%g|%G|%.3g|%#g|%.0g|%20.17g', x, x, x, x, x, x), FORMAT('%F', x), FORMAT('%t|%T', x, x), FORMAT("%'g|%'e", x, x) FROM UNNEST([0.0, -0.0, 1.0, -1.5, 0.5, 2.5, 1234567.891, 1e20, 1e-7, 1e100, 0.1, 123456789.0, 999999.5, CAST('nan' AS FLOAT64), CAST('inf' AS FLOAT64), CAST('-inf' AS FLOAT64), NULL]) x
SELECT FORMAT('%f', x), FORMAT('%.2f|%10.2f|%-10.2f|%010.2f|%+.1f|% f', x, x, x, x, x, x), FORMAT("%'.2f|%'020.2f", x, x), FORMAT('%.0f|%#.0f|%.12f', x, x, x), FORMAT('%t|%T', x, x) FROM UNNEST([NUMERIC '0', NUMERIC '1', NUMERIC '-1.5', NUMERIC '0.005', NUMERIC '-0.005', NUMERIC '2.5', NUMERIC '1234567.891', NUMERIC '99999999999999999999999999999.999999999', NUMERIC '-0.000000001', NULL]) x
SELECT FORMAT('%f|%.2f|%.40f', x, x, x), FORMAT('%t|%T', x, x) FROM UNNEST([BIGNUMERIC '0', BIGNUMERIC '1.5', BIGNUMERIC '-123456789012345678901234567890.12345678901234567890', NULL]) x
SELECT FORMAT('%s', x), FORMAT('%10s|%-10s|%.2s|%10.2s|%05s', x, x, x, x, x), FORMAT('%t|%T', x, x), FORMAT('%10t|%10T|%.3T', x, x, x) FROM UNNEST(['', 'abc', 'é😀', 'it\'s', 'say "x"', 'both \' and "', '\n\t\\', '\x01\x7f\u0080', '\u2028', '`', NULL]) x
SELECT FORMAT('%t|%T', x, x) FROM UNNEST([b'', b'abc', b'\xff\x00', b'it\'s', b'say "x"', b'\n\t\\', b'both \' and "', b'`', b'\a\b\f\v\r', NULL]) x
SELECT FORMAT('%t|%T', true, true), FORMAT('%t|%T', DATE '2020-01-02', DATE '2020-01-02'), FORMAT('%t|%T', DATETIME '2020-01-02 03:04:05.1', DATETIME '2020-01-02 03:04:05'), FORMAT('%t|%T', TIMESTAMP '2020-01-02 03:04:05.123+00', TIMESTAMP '2020-01-02 03:04:05+00'), FORMAT('%t|%T', TIME '01:02:03', TIME '01:02:03.5'), FORMAT('%t|%T', CAST(NULL AS DATE), CAST(NULL AS DATE))
SELECT FORMAT('%t|%T', [1, NULL], [1, 2]), FORMAT('%t|%T', ['a', 'b'], ['a', 'b']), FORMAT('%t|%T', STRUCT(1, 'a'), STRUCT(1, 'a', 2.0)), FORMAT('%t', STRUCT(1)), FORMAT('%t|%T', CAST([] AS ARRAY<INT64>), CAST(NULL AS ARRAY<INT64>)), FORMAT('%t|%T', [STRUCT(1 AS a, [1.0] AS b)], [STRUCT(1 AS a, NUMERIC '1.5' AS b)]), FORMAT('%t', CAST(NULL AS STRUCT<a INT64>)), FORMAT('%T', [DATE '2020-01-01'])
SELECT FORMAT('%t|%T|%p', JSON '{"b":1,"a":"x"}', JSON '{"b":1,"a":"x"}', JSON '[1]'), FORMAT('%P', JSON '{"b":1,"a":[1]}'), FORMAT('%p', CAST(NULL AS JSON)), FORMAT('%t', CAST(NULL AS JSON))
SELECT FORMAT('%*d|%-*d', 5, 42, 6, 43), FORMAT('%.*f', 2, 1.005), FORMAT('%*.*f', 10, 2, 1.5), FORMAT('%*d', -5, 42), FORMAT('%.*f', -1, 1.5), FORMAT('%*d', NULL, 42), FORMAT('%*s|', 4, 'é')
SELECT FORMAT('a%%b'), FORMAT(''), FORMAT('no'), FORMAT('%s%%%d', 'x', 5), FORMAT(NULL, 1), FORMAT('%s and %s', 'a', NULL), FORMAT('é%s😀', 'x'), FORMAT('%%'), FORMAT('\n%d', 1)
SELECT FORMAT('%d', 1, 2)
SELECT FORMAT('%d')
SELECT FORMAT('%d', 'a')
SELECT FORMAT('%d', 1.5)
SELECT FORMAT('%s', 1)
SELECT FORMAT('%f', 1)
SELECT FORMAT('%q', 1)
SELECT FORMAT('%', 1)
SELECT FORMAT('%5%')
SELECT FORMAT('%.2000f', 1.5)
SELECT FORMAT('%u', 1)
SELECT FORMAT('%10000000d', 1)
