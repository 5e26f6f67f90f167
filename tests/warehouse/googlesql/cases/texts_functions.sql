-- Functions of STRING
SELECT x, LOWER(x), UPPER(x), REVERSE(x), LENGTH(x), CHAR_LENGTH(x), BYTE_LENGTH(x), TO_HEX(MD5(x)), TO_HEX(SHA1(x)), TO_HEX(SHA256(x)), TO_HEX(SHA512(x)), FARM_FINGERPRINT(x), UNICODE(x), TO_CODE_POINTS(x), TO_BASE64(CAST(x AS BYTES)), TRIM(x), LTRIM(x), RTRIM(x) FROM UNNEST(['', 'a', 'Abc', 'é', 'e\u0301', '😀x', 'ß', 'ΑΣ', 'ΑΣ ΣΑ', 'İ', 'ı', 'ǆ', 'ŉ', 'ﬁ', '  a\t', '\u00a0a\u3000', 'a\0b', '\u2028', 'ÀÉ', 'Ω', '中文字', 'xxx yyy zzz xxx yyy zzz xxx yyy zzz', NULL]) x
SELECT x, n, LEFT(x, n), RIGHT(x, n), REPEAT(x, n), LPAD(x, n), RPAD(x, n), LPAD(x, n, 'é😀'), RPAD(x, n, 'xyz'), SUBSTR(x, 1, n), SUBSTR(x, -2, n), SUBSTR(x, 0, n) FROM UNNEST(['', 'a', 'aé😀b', NULL]) x, UNNEST([0, 1, 3, 5, 10, NULL]) n
SELECT x, n, SUBSTR(x, n), SUBSTR(x, n, 2), SUBSTR(x, n, 9223372036854775807), SUBSTRING(x, n) FROM UNNEST(['', 'a', 'aé😀b', NULL]) x, UNNEST([0, 1, 2, 5, -1, -2, -9, 9223372036854775807, -9223372036854775808, NULL]) n
SELECT LEFT('ab', 9223372036854775807), RIGHT('ab', 9223372036854775807), REPEAT('', 9223372036854775807), REPEAT('ab', 0), LENGTH(REPEAT('a', 1048576)), LENGTH(LPAD('a', 1048576))
SELECT LEFT('ab', -1)
SELECT RIGHT('ab', -1)
SELECT REPEAT('ab', -1)
SELECT LPAD('ab', -1)
SELECT RPAD('ab', 5, '')
SELECT LPAD('ab', 1, '')
SELECT SUBSTR('ab', 1, -1)
SELECT REPEAT('a', 1048577)
SELECT LPAD('a', 1048577)
SELECT REPEAT('a', 9223372036854775807)
SELECT SAFE.REPEAT('a', -1), SAFE.LPAD('a', -1), SAFE.LEFT('a', -1), SAFE.SUBSTR('a', 1, -1)
SELECT x, y, STARTS_WITH(x, y), ENDS_WITH(x, y), STRPOS(x, y), INSTR(x, y), INSTR(x, y, 2), INSTR(x, y, -1), INSTR(x, y, -2), INSTR(x, y, 1, 2), INSTR(x, y, -1, 2), INSTR(x, y, 100), INSTR(x, y, -100), REPLACE(x, y, 'zz'), REPLACE(x, y, ''), SPLIT(x, y), TRIM(x, y), LTRIM(x, y), RTRIM(x, y), CONCAT(x, y), x || y FROM UNNEST(['', 'a', 'banana', 'é😀é', 'aaaa', NULL]) x, UNNEST(['', 'a', 'an', 'é', 'aa', '😀é', NULL]) y
SELECT INSTR('banana', 'an', 0)
SELECT INSTR('banana', 'an', 1, 0)
SELECT INSTR('banana', 'an', 1, -1)
SELECT INSTR('banana', 'an', NULL), INSTR('banana', 'an', 1, NULL), INSTR('banana', NULL), INSTR('banana', 'an', 9223372036854775807), INSTR('banana', 'an', -9223372036854775808), INSTR('banana', 'a', 1, 9223372036854775807)
SELECT SPLIT('a,b,,c'), SPLIT(','), SPLIT(''), SPLIT('aéb', ''), SPLIT('a::b::', '::'), SPLIT(CAST(NULL AS STRING)), SPLIT('a', NULL), SPLIT('aaa', 'aa')
SELECT INITCAP(x), INITCAP(x, 'l'), INITCAP(x, ''), INITCAP(x, ' é') FROM UNNEST(['', 'hello wORLD', 'a-b_c.d/e\\f', "it's o'clock", 'éa éb', 'ßa', 'ǆa', '1a 2b', 'a\u00a0b', 'a\tb\nc', 'a[b]c(d)e{f}g|h<i>j!k?l@m"n^o#p$q&r~s,t:u;v*w%x+y=z`a', 'ΑΣ', 'ŉa', NULL]) x
SELECT TRANSLATE('banana', 'an', 'x'), TRANSLATE('banana', 'an', 'xyz'), TRANSLATE('', 'a', 'b'), TRANSLATE('aé😀', 'é😀', '😀é'), TRANSLATE('abc', '', 'x'), TRANSLATE(NULL, 'a', 'b'), TRANSLATE('a', NULL, 'b'), TRANSLATE('a', 'a', NULL)
SELECT TRANSLATE('banana', 'aa', 'xy')
SELECT ASCII(x) FROM UNNEST(['', 'a', 'abc', '\0', '\x7f', NULL]) x
SELECT ASCII('é')
SELECT CHR(x) FROM UNNEST([0, 65, 233, 128512, 1114111, 55295, 57344, NULL]) x
SELECT CHR(-1)
SELECT CHR(55296)
SELECT CHR(1114112)
SELECT CODE_POINTS_TO_STRING([65, 233, 128512]), CODE_POINTS_TO_STRING([]), CODE_POINTS_TO_STRING([65, NULL]), CODE_POINTS_TO_STRING(NULL), CODE_POINTS_TO_STRING([0, 65]), CODE_POINTS_TO_BYTES([65, 255, 0]), CODE_POINTS_TO_BYTES([]), CODE_POINTS_TO_BYTES([65, NULL]), CODE_POINTS_TO_BYTES(NULL)
SELECT CODE_POINTS_TO_STRING([55296])
SELECT CODE_POINTS_TO_BYTES([256])
SELECT CODE_POINTS_TO_BYTES([-1])
SELECT SOUNDEX(x) FROM UNNEST(['', 'Ashcraft', 'Robert', 'Rupert', 'Tymczak', 'Pfister', 'Honeyman', 'a', 'é', 'Bé', ' b c', '1a2b', 'hw', 'BB', 'Lloyd', 'VanDeusen', 'Jackson', 'aaa', 'bhb', 'bab', NULL, 'Ruby-Ru']) x
SELECT EDIT_DISTANCE(x, y), EDIT_DISTANCE(x, y, max_distance=>2) FROM UNNEST(['', 'a', 'kitten', 'é😀', NULL]) x, UNNEST(['', 'b', 'sitting', 'é', NULL]) y
SELECT EDIT_DISTANCE('a', 'b', max_distance=>-1)
SELECT FROM_BASE64(x), TO_HEX(FROM_BASE64(x)) FROM UNNEST(['', 'YQ==', 'YWI=', 'YWJj', '/+8=', 'YQ', 'YWI', 'Y W J j', 'YWJj\n', ' YQ==', NULL, '//79']) x
SELECT FROM_BASE64('Y')
SELECT FROM_BASE64('YQ=')
SELECT FROM_BASE64('-_8=')
SELECT FROM_BASE64('YQ==YQ==')
SELECT FROM_BASE64('====')
SELECT FROM_BASE64('YR==')
SELECT FROM_BASE64('é')
SELECT FROM_HEX(x) FROM UNNEST(['', '61', '6', 'abc', 'ABCDEF', 'fF00', NULL]) x
SELECT FROM_HEX('0x61')
SELECT FROM_HEX('g')
SELECT SAFE.FROM_HEX(x), SAFE.FROM_BASE64(x) FROM UNNEST(['g', '61', 'YQ==', '=']) x
SELECT SAFE_CONVERT_BYTES_TO_STRING(x) FROM UNNEST([b'', b'abc', b'a\xffb', b'\xc3\xa9', b'\xc3', b'\xf0\x9f\x98\x80', b'\xf0\x9f\x98', b'\xf0\x9f', b'\xed\xa0\x80', b'\xc0\x80', b'\xe2\x28\xa1', b'\xff\xfe', NULL]) x
SELECT CAST(x AS STRING), SAFE_CAST(x AS STRING) FROM UNNEST([b'', b'abc', b'\xc3\xa9', b'\xf0\x9f\x98\x80', b'a\0b', NULL]) x
SELECT SAFE_CAST(x AS STRING) FROM UNNEST([b'\xff', b'\xc3', b'\xed\xa0\x80', b'\xc0\x80', b'\xf4\x90\x80\x80', b'ok']) x
SELECT CAST(b'\xff' AS STRING)
SELECT CAST(x AS STRING) FROM UNNEST([0.0, -0.0, 1.0, 0.1, 1/3, 1e15, 1e16, 123456789.0, 1e20, 1e-5, 1e-4, 1.5e300, 5e-324, 1.7976931348623157e308, CAST('nan' AS FLOAT64), CAST('inf' AS FLOAT64), CAST('-inf' AS FLOAT64), NULL, 100.0, 1234567.125, 0.30000000000000004]) x
SELECT CONCAT('a', 1.5, true, DATE '2020-01-01'), CONCAT('a', 'b', 'c'), CONCAT('a', NULL), CONCAT('a')
