-- JSON_VALUE, JSON_QUERY and the older ones, over STRING and JSON
SELECT JSON_VALUE('{"a":1.50,"b":{"c":["x",null,true]}}', '$.a'), JSON_VALUE('{"a":1,"b":{"c":["x",null,true]}}', '$.b.c[0]'), JSON_VALUE('{"b":{"c":["x",null,true]}}', '$.b.c[1]'), JSON_VALUE('{"b":{"c":["x",null,true]}}', '$.b.c[2]'), JSON_VALUE('{"b":{"c":[1]}}', '$.b'), JSON_VALUE('{"b":1}', '$.z')
SELECT JSON_QUERY('{"a": 1.50, "b": {"c": ["x", null, true]}}', '$.a'), JSON_QUERY('{"b": {"c" : ["x", null, true]}}', '$.b'), JSON_QUERY('{"b": {"c" : ["x", null, true]}}', '$.b.c[1]'), JSON_QUERY('"é"', '$'), JSON_QUERY('null', '$')
SELECT JSON_EXTRACT('{"a b": {"c.d": [1, 2]}}', "$['a b']"), JSON_EXTRACT('{"a b": {"c.d": [1, 2]}}', "$['a b']['c.d'][1]"), JSON_EXTRACT_SCALAR('{"a": {"b": "x"}}', "$.a['b']"), JSON_EXTRACT_SCALAR('{"a": {"b": "x"}}', "$[a][b]"), JSON_EXTRACT('{"a":1}', '$.')
SELECT JSON_VALUE('{"a b": {"c.d": [1, 2]}}', '$."a b"."c.d"[1]'), JSON_QUERY('{"a\\"b": 1}', '$."a\\"b"'), JSON_VALUE('{"": 5}', '$.""'), JSON_VALUE('{"a b":1}', '$.a b'), JSON_VALUE('{"é":1}', '$.é'), JSON_VALUE('{"a-b":1, "c:d":2}', '$.a-b')
SELECT JSON_VALUE('"hello"'), JSON_QUERY('{"a":1}'), JSON_EXTRACT('[1, 2 ]'), JSON_EXTRACT_SCALAR('"x"'), JSON_VALUE('{"a":1}'), JSON_VALUE(''), JSON_VALUE(' '), JSON_QUERY('')
SELECT JSON_VALUE(CAST(NULL AS STRING), '$.a'), JSON_VALUE('{"a":1}', CAST(NULL AS STRING)), JSON_QUERY(CAST(NULL AS STRING), '$.a'), JSON_VALUE(NULL, '$'), JSON_QUERY(CAST(NULL AS JSON), '$')
SELECT JSON_VALUE(x, '$.a') FROM UNNEST(['{"a":1}', '{"a":"1"}', '{"a":null}', '{"a":{}}', '{"a":[]}', '[]', '1', '{', '{"a":1', '{"a":1,', '{"b":2 "a":1}', '{"a":1}x', 'x', NULL, "{'a':'q'}", '{"a":1e5}', '{"a":-0.0}', '{"a":01}', '{"a":.5}', '{"a":1.}', '{"a":+1}', '{"a":tru}', '{"a":true,}', '{"a":,}', '{"a":NaN}', '{"a":Infinity}', '{"a":123456789012345678901234567890}', '{a:1}', '{"a" 1}']) x
SELECT JSON_QUERY(x, '$.a') FROM UNNEST(['{"a":1}', '{"a":"1"}', '{"a":null}', '{"a":{}}', '{"a":[]}', '[]', '1', '{', '{"a":[1', '{"a":{"b":1', '{"a":{"b":1}', '{"a":{"b":1},', '{"a":1}x', '{"a":[1,]}', '{"a":[,1]}', '{"a":[1,,2]}', '{"a":[1 2]}', '{"a":{"b":1,}}', '{"a":{"b":}}', "{'a':{'b':'c'}}", '{"a":{"b":1,"b":2}}', '{"a":\t[ 1 ,\n2 ]}', '{"a":{"z":1,"y":2}}', '{"a":[1.0,1e5,-0,1E+5,1e-5]}', '{"a":[[[[]]]]}']) x
SELECT JSON_QUERY(x, '$') FROM UNNEST(['{"a":1}', '1 x', '{"a":1} x', '[1] 2', '"a" b', '"a', "'a'", 'tru', 'true1', 'null', ' 1 ', '[1', ']', ',', '-', '1.', '1e', '1e+', '-1', '[-]', '[1e]', '01', '\u000b1', '\n[\n1\n]\n', '[[],{},[[]],{"a":{}}]']) x
SELECT JSON_VALUE(x, '$') FROM UNNEST([r'"\u00e9"', r'"\ud83d\ude00"', r'"\ud83d"', r'"\n\t\r\b\f\v\/\\\""', r'"\x41\101\q"', r'"\u12"', r'"\xg1"', r'"\8"', '"a\nb"', "'it\\'s'", r"'\u0041'", r'"\0"', r'"\u0000a"', '"\u2028"', '"😀"', r'"\1234"', r'"\777"', r'"\uDEAD\ubeef"']) x
SELECT JSON_QUERY(x, '$') FROM UNNEST([r'"\u00e9"', r'"\ud83d\ude00"', r'["\n\t\r\b\f\v\/\\\""]', r'{"\n":"\u2028\u2029\u0001\u007f"}', '"a\nb"', "['it\\'s']", r'"\u0000a"', '"\u2028"', '"<>&=\u007f"', r'"\u001f\u0020"']) x
SELECT JSON_VALUE('{"a":1,"a":2}', '$.a'), JSON_VALUE('{"a":1,"a":{"b":2}}', '$.a.b'), JSON_VALUE('{"a":{"b":1},"a":2}', '$.a'), JSON_VALUE('{"a":null,"a":2}', '$.a'), JSON_VALUE('{"a":{"c":1},"a":{"b":2}}', '$.a.b'), JSON_QUERY('{"a":null,"a":2}', '$.a')
SELECT JSON_VALUE('[1,[2,3],{"a":4}]', '$[0]'), JSON_VALUE('[1,[2,3],{"a":4}]', '$[1][1]'), JSON_VALUE('[1,[2,3],{"a":4}]', '$[2].a'), JSON_VALUE('[1]', '$[1]'), JSON_VALUE('[1]', '$[-1]'), JSON_VALUE('{"0":7}', '$[0]'), JSON_VALUE('[7]', '$.0'), JSON_VALUE('[7]', '$[00]'), JSON_VALUE('[7]', '$[ 0 ]'), JSON_VALUE('[7,8]', '$[1_]'), JSON_VALUE('[7]', '$.a')
SELECT JSON_VALUE('{"a":1}', 'a'), 1
SELECT JSON_VALUE('{"a":1}', '$.a.*')
SELECT JSON_VALUE('{"a":1}', '$..a')
SELECT JSON_VALUE('{"a":1}', '$.')
SELECT JSON_VALUE('{"a":1}', '$[a]')
SELECT JSON_VALUE('{"a":1}', '')
SELECT JSON_VALUE('{"a":1}', "$['a']")
SELECT JSON_EXTRACT('{"a":1}', '$."a"')
SELECT JSON_VALUE('{"a":1}', '$.a@')
SELECT JSON_QUERY('{"a":1}', ' $.a')
SELECT p, JSON_VALUE('{"a":{"b":"x"},"c d":2}', p) FROM UNNEST(['$.a.b', '$.a', '$.c d', '$."c d"', NULL, '$']) p
SELECT JSON_VALUE('{"a":1}', p) FROM UNNEST(['$.a', 'b']) p
SELECT SAFE.JSON_VALUE('{"a":1}', p) FROM UNNEST(['$.a', 'b']) p
SELECT JSON_VALUE(JSON '{"a":1.50,"b":{"c":["x",null,true]}}', '$.a'), JSON_VALUE(JSON '{"b":{"c":["x",null,true]}}', '$.b.c[0]'), JSON_VALUE(JSON '{"b":{"c":["x",null,true]}}', '$.b.c[1]'), JSON_VALUE(JSON '{"b":{"c":["x",null,true]}}', '$.b.c[2]'), JSON_VALUE(JSON '{"b":{"c":[1]}}', '$.b'), JSON_VALUE(JSON '{"b":1}', '$.z'), JSON_VALUE(JSON '"x"')
SELECT JSON_QUERY(JSON '{"z": 1.50, "b": {"c": ["x", null, true]}}', '$'), JSON_QUERY(JSON '{"b": {"c" : ["x", null, true]}}', '$.b.c[1]'), JSON_QUERY(JSON '{"b": 1}', '$.z'), JSON_QUERY(JSON '{"b": 1}'), JSON_EXTRACT(JSON '{"b c": [1]}', "$['b c'][0]"), JSON_EXTRACT_SCALAR(JSON '{"b c": [1]}', "$['b c'][0]"), JSON_QUERY(JSON 'null', '$')
SELECT JSON_VALUE(JSON '[7,8]', '$[1]'), JSON_VALUE(JSON '[7,8]', '$.1'), JSON_VALUE(JSON '[7,8]', '$[1_]'), JSON_VALUE(JSON '[7,8]', '$[-1]'), JSON_VALUE(JSON '[7,8]', '$[01]'), JSON_VALUE(JSON '{"1":5}', '$[1]'), JSON_VALUE(JSON '[7,8]', '$[99999999999999999999]'), JSON_VALUE(JSON '[7,8]', '$. 1'), JSON_VALUE(JSON '{"a":1e100}', '$.a')
SELECT JSON_QUERY_ARRAY(x, '$.a') FROM UNNEST(['{"a":[1, "b", {"c" : [2]}, null, [3]]}', '{"a":[]}', '{"a":1}', '{"a":null}', '{"a":{}}', '{}', 'x', NULL, '{"a":[1', '{"a":[1]', '{"a":["x"]}y', "{'a':['x','\\n']}", '{"a":[1,]}']) x
SELECT JSON_VALUE_ARRAY(x, '$.a') FROM UNNEST(['{"a":[1, "b", null, true, 1.50]}', '{"a":[]}', '{"a":1}', '{"a":null}', '{"a":{}}', '{"a":[{}]}', '{"a":[[1]]}', '{"a":[1,[2]]}', '{}', 'x', NULL, '{"a":[1', '{"a":[1]', '{"a":["x"]}y', "{'a':['x','\\n']}", '{"a":[1,]}', '{"a":[,]}']) x
SELECT JSON_EXTRACT_ARRAY('[1, "b", {"c" : [2]}, null]'), JSON_EXTRACT_ARRAY('{"a b":[1,2]}', "$['a b']"), JSON_EXTRACT_STRING_ARRAY('["a","b"]'), JSON_EXTRACT_STRING_ARRAY('{"a":["b"]}', '$.a'), JSON_QUERY_ARRAY('[1]'), JSON_VALUE_ARRAY('["x"]'), JSON_VALUE_ARRAY(CAST(NULL AS STRING)), JSON_VALUE_ARRAY('[1]', NULL)
SELECT JSON_QUERY_ARRAY(JSON '{"a":[1, "b", {"d":1,"c" : [2]}, null]}', '$.a'), JSON_VALUE_ARRAY(JSON '[1,"b",null,true,2.0]'), JSON_VALUE_ARRAY(JSON '[[1]]'), JSON_EXTRACT_ARRAY(JSON '[1,[2]]'), JSON_EXTRACT_STRING_ARRAY(JSON '[1.5]'), JSON_QUERY_ARRAY(JSON '{}'), JSON_QUERY_ARRAY(JSON 'null'), JSON_QUERY_ARRAY(CAST(NULL AS JSON))
SELECT CAST(JSON_VALUE(x, '$.n') AS INT64) + 1, SAFE_CAST(JSON_VALUE(x, '$.f') AS FLOAT64) FROM UNNEST(['{"n":5,"f":"1.5"}', '{"n":"7","f":"y"}', '{}']) x
SELECT e FROM UNNEST(JSON_QUERY_ARRAY('[{"a":1},{"a":2}]')) e
SELECT JSON_VALUE(e, '$.a') FROM UNNEST(JSON_QUERY_ARRAY(JSON '[{"a":1},{"a":2}]')) e
SELECT JSON_VALUE(CONCAT(REPEAT('[', 900), '5', REPEAT(']', 900)), '$'), JSON_VALUE(CONCAT('{"a":7,"b":', REPEAT('[', 900), '5', REPEAT(']', 900), '}'), '$.a')
SELECT JSON_QUERY(CONCAT('{"b":', REPEAT('[', 1100), '5', REPEAT(']', 1100), '}'), '$.a')
SELECT JSON_QUERY(CONCAT('{"a":1,"b":', REPEAT('[', 1100), '5', REPEAT(']', 1100), '}'), '$.a')
