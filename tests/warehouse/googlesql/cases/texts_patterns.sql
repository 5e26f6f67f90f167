-- REGEXP functions and LIKE
SELECT x, REGEXP_CONTAINS(x, r'b'), REGEXP_CONTAINS(x, r'^$'), REGEXP_CONTAINS(x, r'(?i)A'), REGEXP_CONTAINS(x, r'^.$'), REGEXP_CONTAINS(x, r'\p{L}'), REGEXP_EXTRACT(x, r'a(b)?'), REGEXP_EXTRACT(x, r'(a)|b'), REGEXP_EXTRACT(x, r'b*'), REGEXP_EXTRACT(x, r'(b*)'), REGEXP_EXTRACT(x, r'a(.*)c'), REGEXP_EXTRACT(x, r'.'), REGEXP_EXTRACT(x, r'$'), REGEXP_EXTRACT(x, r'(?:x)?(a)'), REGEXP_SUBSTR(x, r'b+') FROM UNNEST(['', 'a', 'b', 'abc', 'abbbc', 'xab', 'aéc', '😀', 'a\nc', NULL]) x
SELECT x, REGEXP_EXTRACT_ALL(x, r'a'), REGEXP_EXTRACT_ALL(x, r'b*'), REGEXP_EXTRACT_ALL(x, r'(b*)'), REGEXP_EXTRACT_ALL(x, r'.'), REGEXP_EXTRACT_ALL(x, r'^.'), REGEXP_EXTRACT_ALL(x, r''), REGEXP_EXTRACT_ALL(x, r'$'), REGEXP_EXTRACT_ALL(x, r'\b'), REGEXP_EXTRACT_ALL(x, r'a(.)') FROM UNNEST(['', 'a', 'b', 'abc', 'abbbcab', 'aéaé', '😀é', 'aa', NULL]) x
SELECT REGEXP_EXTRACT_ALL('ab', r'(a)|b'), 1
SELECT x, p, o, REGEXP_EXTRACT(x, r'a.?', p, o), REGEXP_EXTRACT(x, r'(b*)', p, o), REGEXP_EXTRACT(x, r'^a', p, o), REGEXP_INSTR(x, r'a', p, o), REGEXP_INSTR(x, r'a(b)?', p, o), REGEXP_INSTR(x, r'a.?', p, o, 1), REGEXP_INSTR(x, r'a(.)', p, o, 0), REGEXP_INSTR(x, r'b*', p, o), REGEXP_INSTR(x, r'', p, o) FROM UNNEST(['', 'a', 'abab', 'éaé😀ab', NULL]) x, UNNEST([1, 2, 4, 100, NULL]) p, UNNEST([1, 2, 9, NULL]) o
SELECT REGEXP_EXTRACT('abc', 'b', 0)
SELECT REGEXP_EXTRACT('abc', 'b', 1, 0)
SELECT REGEXP_EXTRACT('abc', 'b', -1)
SELECT REGEXP_INSTR('abc', 'b', 0)
SELECT REGEXP_INSTR('abc', 'b', 1, 1, 2)
SELECT REGEXP_INSTR('abc', '(a)(b)')
SELECT REGEXP_EXTRACT('abc', '(a)(b)')
SELECT REGEXP_EXTRACT_ALL('abc', '(a)(b)')
SELECT REGEXP_EXTRACT('abc', '(')
SELECT REGEXP_CONTAINS('abc', '[')
SELECT REGEXP_REPLACE('abc', '*', '')
SELECT REGEXP_REPLACE('abc', 'b', r'\1')
SELECT REGEXP_REPLACE('abc', 'b', r'\x')
SELECT REGEXP_REPLACE('abc', 'b', '\\')
SELECT x, REGEXP_REPLACE(x, r'a', 'zz'), REGEXP_REPLACE(x, r'(a)(b)?', r'<\2\1\0>'), REGEXP_REPLACE(x, r'b*', '-'), REGEXP_REPLACE(x, r'', '-'), REGEXP_REPLACE(x, r'^', '>'), REGEXP_REPLACE(x, r'$', '<'), REGEXP_REPLACE(x, r'.', r'\\'), REGEXP_REPLACE(x, r'é', 'e'), REGEXP_REPLACE(x, r'a|', '-'), REGEXP_REPLACE(x, r'\b', '|') FROM UNNEST(['', 'a', 'b', 'abc', 'abbbcab', 'aéaé', '😀é', 'aa', 'bab', NULL]) x
SELECT REGEXP_CONTAINS(x, p), REGEXP_EXTRACT(x, p), REGEXP_EXTRACT_ALL(x, p), REGEXP_REPLACE(x, p, '-'), REGEXP_REPLACE(x, p, r), REGEXP_INSTR(x, p) FROM UNNEST(['', 'a', 'abab', 'é😀', NULL]) x, UNNEST(['a', 'b*', '(a)b?', '', NULL]) p, UNNEST(['', 'zz', r'\0\0', NULL]) r
SELECT REGEXP_CONTAINS('a', p) FROM UNNEST(['a', '(']) p
SELECT REGEXP_EXTRACT('a', p) FROM UNNEST(['a', '(a)(b)']) p
SELECT SAFE.REGEXP_CONTAINS('a', p) FROM UNNEST(['a', '(']) p
SELECT x LIKE 'a%', x LIKE '%a', x LIKE '_', x LIKE '%\\%%', x LIKE '\\_%', x LIKE '', x LIKE '%', x LIKE 'a_c', x LIKE '%é%', x NOT LIKE 'a%', x LIKE NULL, x LIKE 'a\\\\b', x LIKE '\\a' FROM UNNEST(['', 'a', 'abc', 'a%c', '_x', 'é', '😀', 'e\u0301', 'a\nc', 'a\\b', 'A', NULL]) x
SELECT x, y, x LIKE y, x NOT LIKE y FROM UNNEST(['', 'a', 'abc', 'a%c', '_x', 'é', '😀', 'a\nc', 'a\\b', 'a.c', '(', NULL]) x, UNNEST(['', '%', '_', 'a%', 'a_c', 'a\\%c', '\\_x', 'a\\\\b', 'é', '%c', 'a.c', '(', '[a]', '__', '\\é', NULL]) y
SELECT 'a' LIKE p FROM UNNEST(['a', 'a\\']) p
SELECT 'a' LIKE 'a\\'
SELECT x LIKE ANY ('a%', 'b'), x LIKE ALL ('a%', '%c'), x NOT LIKE ANY ('a%', 'b'), x NOT LIKE ALL ('a%', 'b'), x LIKE ANY ('a%', NULL), x LIKE ALL ('a%', NULL), x NOT LIKE ANY ('a%', NULL), x NOT LIKE ALL ('a%', NULL), NOT x LIKE ANY ('z') FROM UNNEST(['', 'a', 'abc', 'b', NULL]) x
SELECT x LIKE SOME ('a%', 'b') FROM UNNEST(['a', 'b', 'c']) x
SELECT x LIKE ANY UNNEST(['a%', NULL]), x LIKE ALL UNNEST(['a%', NULL]), x NOT LIKE ANY UNNEST(['a%', NULL]), x NOT LIKE ALL UNNEST(['a%', NULL]) FROM UNNEST(['a', 'b', NULL]) x
SELECT x LIKE ANY UNNEST(CAST(NULL AS ARRAY<STRING>)), x LIKE ALL UNNEST(CAST(NULL AS ARRAY<STRING>)), x NOT LIKE ANY UNNEST(CAST(NULL AS ARRAY<STRING>)), x NOT LIKE ALL UNNEST(CAST(NULL AS ARRAY<STRING>)) FROM UNNEST(['a', NULL]) x
SELECT x LIKE ANY UNNEST(CAST([] AS ARRAY<STRING>)), x LIKE ALL UNNEST(CAST([] AS ARRAY<STRING>)), x NOT LIKE ANY UNNEST(CAST([] AS ARRAY<STRING>)), x NOT LIKE ALL UNNEST(CAST([] AS ARRAY<STRING>)) FROM UNNEST(['a', NULL]) x
SELECT x LIKE ANY UNNEST([b'a%', b'_']), x NOT LIKE ALL UNNEST([b'a%']) FROM UNNEST([b'', b'\xff', b'ab', NULL]) x
SELECT p, REGEXP_EXTRACT('aé😀', r'x?', p), REGEXP_INSTR('aé😀', r'x?', p), REGEXP_EXTRACT(b'a\xff', b'x?', p), REGEXP_INSTR(b'a\xff', b'x?', p), REGEXP_EXTRACT('', r'x?', p), REGEXP_INSTR('', r'x?', p) FROM UNNEST([1, 2, 3, 4, 5, 6, 7, 8]) p
