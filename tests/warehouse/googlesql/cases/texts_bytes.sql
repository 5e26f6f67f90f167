-- Functions of BYTES
SELECT x, LOWER(x), UPPER(x), REVERSE(x), LENGTH(x), BYTE_LENGTH(x), OCTET_LENGTH(x), TO_HEX(x), TO_BASE64(x), TO_HEX(MD5(x)), TO_HEX(SHA1(x)), TO_HEX(SHA256(x)), TO_HEX(SHA512(x)), FARM_FINGERPRINT(x), TO_CODE_POINTS(x), ASCII(SAFE_CAST(x AS STRING)) FROM UNNEST([b'', b'a', b'Abc', b'\x00\x01', b'aB\x7f', NULL]) x
SELECT x, LOWER(x), UPPER(x), REVERSE(x), TO_HEX(x), TO_CODE_POINTS(x) FROM UNNEST([b'\xff', b'\xc3\xa9', b'\xe9A']) x
SELECT x, n, LEFT(x, n), RIGHT(x, n), REPEAT(x, n), LPAD(x, n), RPAD(x, n), LPAD(x, n, b'\xffz'), RPAD(x, n, b'xyz'), SUBSTR(x, 1, n), SUBSTR(x, -2, n), SUBSTR(x, 0, n) FROM UNNEST([b'', b'a', b'a\xffb', NULL]) x, UNNEST([0, 1, 3, 5, 10, NULL]) n
SELECT x, n, SUBSTR(x, n), SUBSTR(x, n, 2), SUBSTR(x, n, 9223372036854775807), SUBSTRING(x, n) FROM UNNEST([b'', b'a', b'a\xffbc', NULL]) x, UNNEST([0, 1, 2, 5, -1, -2, -9, 9223372036854775807, -9223372036854775808, NULL]) n
SELECT LEFT(b'ab', -1)
SELECT REPEAT(b'ab', -1)
SELECT SUBSTR(b'ab', 1, -1)
SELECT LPAD(b'ab', 5, b'')
SELECT x, y, STARTS_WITH(x, y), ENDS_WITH(x, y), STRPOS(x, y), INSTR(x, y), INSTR(x, y, 2), INSTR(x, y, -1), INSTR(x, y, -2), INSTR(x, y, 1, 2), INSTR(x, y, -1, 2), REPLACE(x, y, b'zz'), SPLIT(x, y), TRIM(x, y), LTRIM(x, y), RTRIM(x, y), CONCAT(x, y), x || y FROM UNNEST([b'', b'a', b'banana', b'\xff\x00\xff', b'aaaa', NULL]) x, UNNEST([b'', b'a', b'an', b'\xff', b'aa', NULL]) y
SELECT TRANSLATE(b'banana', b'an', b'x'), TRANSLATE(b'\xff\x00', b'\xff', b'\xfe'), EDIT_DISTANCE(b'kitten', b'sitting'), EDIT_DISTANCE(b'', b'\xff')
SELECT REGEXP_CONTAINS(x, b'\xff'), REGEXP_CONTAINS(x, b'^a'), REGEXP_EXTRACT(x, b'a(.)'), REGEXP_EXTRACT(x, b'.', 2, 1), REGEXP_EXTRACT_ALL(x, b'[a-c]'), REGEXP_REPLACE(x, b'(a)', b'<\\1>'), REGEXP_REPLACE(x, b'', b'-'), REGEXP_INSTR(x, b'b'), x LIKE b'a%', x LIKE b'_\xff_', x LIKE b'%\xff' FROM UNNEST([b'', b'a', b'a\xffb', b'abcabc', b'\xff', b'\xc3\xa9', NULL]) x
SELECT x LIKE y FROM UNNEST([b'', b'a', b'a%', b'a\xff', b'a\nb']) x, UNNEST([b'', b'%', b'a_', b'a\\%', b'a%b', b'\xff', b'_\xff', NULL]) y
SELECT CONCAT(b'a', b'', b'\xff'), SPLIT(b'a,b', b','), SPLIT(b'', b','), SPLIT(b'ab', b'')
