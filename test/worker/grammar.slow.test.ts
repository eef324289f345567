/** Grammars from JSON schemas, judged by the real grammar engine and by a JSON Schema validator. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { Ajv } from 'ajv'
import { Ajv2020 } from 'ajv/dist/2020.js'
import formats from 'ajv-formats'
import fc from 'fast-check'
import { HubError } from '../../server/lib/error.ts'
import type { JsonSchema } from '../../server/wire/worker.ts'
import {
  anyTextUntil,
  GrammarBuilder,
  jsonObjectGrammar,
  literal,
  schemaToGrammar,
} from '../../server/worker/grammar.ts'
import { TYPES } from '../../server/worker/grammar_merge.ts'
import { type GrammarEngine, openGrammarEngine } from '../helpers/grammar_engine.ts'
import { needsModels, testModels } from '../helpers/models.ts'

const draft7 = new Ajv({ strict: false, logger: false, ownProperties: true })
const ajv = new Ajv2020({ strict: false, logger: false, ownProperties: true })
formats.default(ajv)

const REFUSED: [name: string, schema: unknown, pointer: RegExp][] = [
  ['not', { not: { type: 'string' } }, /#\/not\b/],
  ['if', { type: 'string', if: {} }, /#\/if\b/],
  ['contains', { type: 'array', contains: {} }, /#\/contains/],
  ['uniqueItems', { properties: { a: { type: 'array', uniqueItems: true } } }, /#\/properties\/a\/uniqueItems/],
  ['patternProperties', { patternProperties: { a: {} } }, /#\/patternProperties/],
  ['dependentSchemas', { dependentSchemas: { a: {} } }, /#\/dependentSchemas/],
  ['dependentRequired', { dependentRequired: { a: ['b'] } }, /#\/dependentRequired/],
  ['multipleOf', { type: 'integer', multipleOf: 3 }, /#\/multipleOf/],
  ['minProperties', { type: 'object', minProperties: 2, properties: { a: {}, b: {}, c: {} } }, /#\/minProperties/],
  ['maxProperties', { type: 'object', maxProperties: 1, properties: { a: {}, b: {} } }, /#\/maxProperties/],
  ['an unknown keyword', { type: 'string', colour: 'red' }, /#\/colour/],
  ['an unknown format', { type: 'string', format: 'iban' }, /#\/format.*"iban"/],
  ['an unknown type', { type: 'text' }, /#\/type/],
  ['a back-reference', { type: 'string', pattern: '(a)\\1' }, /#\/pattern.*back-reference/],
  ['a look-behind', { type: 'string', pattern: '(?<=a)b' }, /#\/pattern.*look-behind/],
  ['a word boundary', { type: 'string', pattern: '\\bword\\b' }, /#\/pattern.*boundary/],
  ['a broken pattern', { type: 'string', pattern: '(' }, /#\/pattern/],
  ['a pattern that explodes', { type: 'string', pattern: '(a|b)*a(a|b){40}$' }, /#\/pattern.*states/],
  ['a remote reference', { $ref: 'https://example.com/a' }, /#\/\$ref/],
  ['a dangling reference', { items: { $ref: '#/$defs/a' } }, /#\/items\/\$ref/],
  [
    'a circular reference',
    { $ref: '#/$defs/a', $defs: { a: { anyOf: [{ $ref: '#/$defs/a' }, { type: 'null' }] } } },
    /back to itself/,
  ],
  ['oneOf whose branches overlap', { oneOf: [{ type: 'integer' }, { type: 'number' }] }, /#\/oneOf.*0 and 1/],
  ['a strict bound beyond doubles', { type: 'number', exclusiveMaximum: 0.1234567890123456 }, /#\/exclusiveMaximum/],
  ['a length that is no count', { type: 'string', minLength: -1 }, /#\/minLength/],
  ['a list as schema', [], /schema/],
  ['false', false, /Nothing satisfies/],
  [
    'contradictory bounds',
    { properties: { a: { type: 'integer', minimum: 5, maximum: 4 } }, required: ['a'] },
    /"a".*#\/properties\/a/,
  ],
  ['contradictory types', { allOf: [{ type: 'string' }, { type: 'null' }] }, /Nothing satisfies/],
  ['a required property that is not allowed', { type: 'object', required: ['a'], additionalProperties: false }, /"a"/],
  ['endless recursion', { type: 'object', properties: { a: { $ref: '#' } }, required: ['a'] }, /without end/],
  ['too many items for a tuple', { prefixItems: [{}], items: false, minItems: 2 }, /minItems/],
]

describe('schemas that cannot be enforced are refused by name', () => {
  for (const [name, schema, pointer] of REFUSED) {
    test(name, () => {
      assert.throws(
        () => schemaToGrammar(schema as JsonSchema, 'response_format'),
        error => {
          assert.ok(error instanceof HubError, String(error))
          assert.equal(error.code, 'invalid_request')
          assert.equal(error.param, 'response_format')
          assert.match(error.message, pointer)
          return true
        },
      )
    })
  }

  test('a schema nested or chained without measure ends in a refusal and not in a crash', () => {
    let deep: JsonSchema = { type: 'string' }
    for (let level = 0; level < 5000; level++) deep = { type: 'array', items: deep }
    assert.throws(() => schemaToGrammar(deep), HubError)
    const $defs: { [name: string]: JsonSchema } = { d20000: { type: 'null' } }
    for (let link = 0; link < 20000; link++) $defs[`d${link}`] = { $ref: `#/$defs/d${link + 1}` }
    assert.throws(() => schemaToGrammar({ $ref: '#/$defs/d0', $defs }), HubError)
    const doubling: { [name: string]: JsonSchema } = { d40: { type: 'null' } }
    for (let link = 0; link < 40; link++) {
      doubling[`d${link}`] = { allOf: [{ $ref: `#/$defs/d${link + 1}` }, { $ref: `#/$defs/d${link + 1}` }] }
    }
    assert.throws(() => schemaToGrammar({ $ref: '#/$defs/d0', $defs: doubling }), HubError)
  })
})

test('a schema of any shape gives a grammar or a refusal, and nothing else', () => {
  fc.assert(
    fc.property(shapes(), schema => {
      tryGrammar(schema)
    }),
    { seed: 20240616, numRuns: 2000 },
  )
})

describe('the builder', () => {
  test('gives each rule a name of its own and shares equal ones', () => {
    const builder = new GrammarBuilder()
    assert.equal(builder.rule('Größe_1', '"a"'), 'gr-e-1')
    assert.equal(builder.rule('Größe_1', '"a"'), 'gr-e-1')
    assert.equal(builder.rule('gr-e-1', '"b"'), 'gr-e-1-1')
    assert.equal(builder.rule('', '"c"'), 'rule')
    assert.notEqual(builder.rule('root', '"d"'), 'root')
    assert.match(builder.build('rule'), /^root ::= rule\n/)
  })

  test('writes literals that the engine reads back', () => {
    assert.equal(literal('a"b\\c\n\t\u007fé'), '"a\\"b\\\\c\\n\\x09\\x7fé"')
  })
})

/** [schema, texts that are written for it, texts that are not] */
const CASES: [name: string, schema: JsonSchema, good: string[], bad: string[]][] = [
  [
    'optional properties keep their commas right',
    {
      type: 'object',
      properties: { a: { type: 'null' }, b: { type: 'null' }, c: { type: 'null' }, d: { type: 'null' } },
      required: ['b'],
    },
    [
      '{"b":null}',
      '{"a":null,"b":null}',
      '{"b":null,"d":null}',
      '{"a":null,"b":null,"c":null,"d":null}',
      '{ "b": null, "c": null }',
    ],
    [
      '{}',
      '{"a":null}',
      '{,"b":null}',
      '{"b":null,}',
      '{"b":null"c":null}',
      '{"c":null,"b":null}',
      '{"b":null,"e":null}',
      '{"b":null,"b":null}',
    ],
  ],
  [
    'all properties optional',
    { properties: { a: { const: 1 }, b: { const: 2 } } },
    ['{}', '{ }', '{"a":1}', '{"b":2}', '{"a":1,"b":2}', '{\n  "a": 1,\n  "b": 2\n}'],
    ['{"a":1,}', '{,"b":2}', '{"b":2,"a":1}', '[]', '{"a":1}\n'],
  ],
  [
    'additional properties have other names than the declared ones',
    { properties: { ab: { type: 'null' } }, additionalProperties: { type: 'integer' } },
    ['{"ab":null,"a":1}', '{"abc":2,"":3}', '{"\\"ab":1}'],
    ['{"ab":1}', '{"a\\u0062":1}', '{"a":null}', '{"a":1,"ab":null}'],
  ],
  [
    'additionalProperties true',
    { type: 'object', additionalProperties: true },
    ['{"x":[1,{"y":null}]}'],
    ['{"x"}', '{x:1}'],
  ],
  [
    'a required property that nothing declares',
    { type: 'object', required: ['a'] },
    ['{"a":{"b":[]}}', '{"a":1}'],
    ['{}', '{"a":1,"b":2}'],
  ],
  [
    'propertyNames of a record',
    { type: 'object', propertyNames: { type: 'string' }, additionalProperties: { type: 'null' } },
    ['{"a":null}'],
    ['{"a":1}'],
  ],
  [
    'propertyNames from a list',
    { type: 'object', propertyNames: { enum: ['x', 'yy'] }, additionalProperties: { type: 'null' }, minProperties: 1 },
    ['{"x":null}', '{"yy":null,"x":null}'],
    ['{}', '{"y":null}', '{"z":null}'],
  ],
  [
    'an empty schema is any value',
    {},
    ['1', '-0.5e-7', '"\\ud83d\\ude00"', '[[],{}]', 'null', '{"a":{"b":[true,false]}}'],
    ['01', '"\\ud83d"', '[1,]', 'nul', '{"a":1,}', "'a'", '1e999', '"\n"'],
  ],
  ['true is any value', true, ['[1]'], ['[1']],
  [
    'white space is bounded',
    { type: 'array' },
    ['[\n  1,\n  2\n]', '[ 1, 2 ]'],
    ['[  1]', '[1\n\n]', ' [1]', '[1] ', `[\n${' '.repeat(21)}1]`],
  ],
  [
    'lengths count code points',
    { type: 'string', minLength: 2, maxLength: 3 },
    ['"ab"', '"😀😀😀"', '"\\ud83d\\ude00\\n"', '"\\"\\\\"'],
    ['"a"', '"abcd"', '"😀"', '"\\ud83d\\ude00"', '"\\ud83d\\ud83d"'],
  ],
  [
    'a long maxLength',
    { type: 'string', maxLength: 700 },
    ['""', `"${'a'.repeat(512)}"`, `"${'a'.repeat(700)}"`],
    [`"${'a'.repeat(701)}"`],
  ],
  [
    'a long range',
    { type: 'string', minLength: 300, maxLength: 900 },
    [`"${'a'.repeat(300)}"`, `"${'a'.repeat(555)}"`, `"${'a'.repeat(900)}"`],
    [`"${'a'.repeat(299)}"`, `"${'a'.repeat(901)}"`],
  ],
  [
    'a long pattern bound',
    { type: 'string', pattern: '^a+b?$', maxLength: 600 },
    ['"a"', `"${'a'.repeat(599)}b"`],
    ['"b"', `"${'a'.repeat(600)}b"`],
  ],
  [
    'items are counted',
    { type: 'array', items: { type: 'boolean' }, minItems: 1, maxItems: 3 },
    ['[true]', '[true, false, true]'],
    ['[]', '[true,true,true,true]', '[1]'],
  ],
  [
    'a tuple',
    { prefixItems: [{ const: 'a' }, { type: 'integer' }], items: { type: 'null' }, maxItems: 4 },
    ['[]', '["a"]', '["a",1]', '["a",1,null,null]'],
    ['[1]', '["a",null]', '["a",1,null,null,null]'],
  ],
  [
    'a tuple of draft 7',
    {
      $schema: 'http://json-schema.org/draft-07/schema#',
      type: 'array',
      items: [{ const: 1 }, { const: 2 }],
      additionalItems: false,
      minItems: 1,
    },
    ['[1]', '[1,2]'],
    ['[]', '[2]', '[1,2,3]'],
  ],
  [
    'enum and const of every type',
    { enum: ['a"b', 1.5, null, true, { x: [1, 'y'] }] },
    ['"a\\"b"', '1.5', 'null', 'true', '{"x":[1,"y"]}', '{ "x": [1, "y"] }'],
    ['"a"', '1', '{"x":[1]}'],
  ],
  [
    'a long enum',
    { enum: ['red', 'green', 'blue', 'gray', 'grey', 'greenish', 'bluish', 'reddish', 'pink', 7] },
    ['"green"', '"greenish"', '"red"', '7'],
    ['"gre"', '"redd"', '"greenis"', '"pinky"'],
  ],
  ['enum filtered by its type', { type: 'string', enum: ['a', 1, null], minLength: 1 }, ['"a"'], ['1', 'null']],
  [
    'a list of types',
    { type: ['string', 'null', 'integer'], maxLength: 1, minimum: 3 },
    ['"a"', 'null', '3', '12'],
    ['"ab"', '2', 'true'],
  ],
  ['nullable', { type: 'string', nullable: true }, ['null', '""'], ['1']],
  [
    'integers of a range',
    { type: 'integer', minimum: -12, maximum: 105 },
    ['-12', '-9', '0', '99', '100', '105'],
    ['-13', '106', '-0', '00', '1.0', '-20', '199'],
  ],
  [
    'integers above',
    { type: 'integer', exclusiveMinimum: 18 },
    ['19', '20', '100', '9999999999999999'],
    ['18', '9', '0', '-20'],
  ],
  ['integers below', { type: 'integer', maximum: -5 }, ['-5', '-6', '-50'], ['-4', '5', '0']],
  ['integers with fractional bounds', { type: 'integer', minimum: 0.5, exclusiveMaximum: 3 }, ['1', '2'], ['0', '3']],
  ['multipleOf 1', { type: 'number', multipleOf: 1 }, ['3'], ['3.5']],
  [
    'numbers from 0 to 1',
    { type: 'number', minimum: 0, maximum: 1 },
    ['0', '1', '0.5', '1.0', '0.000001', '0.999999'],
    ['1.01', '-0.1', '2', '0.', '.5', '1e0', '-0'],
  ],
  [
    'numbers with strict ends',
    { type: 'number', exclusiveMinimum: 0.25, exclusiveMaximum: 1.5 },
    ['0.251', '0.3', '1', '1.4999'],
    ['0.25', '0.250', '1.5', '1.500', '0.2', '2', '0'],
  ],
  [
    'negative numbers',
    { type: 'number', minimum: -1.5, exclusiveMaximum: 0 },
    ['-1.5', '-0.1', '-1'],
    ['-1.51', '0', '-0', '-0.0', '0.1', '-2'],
  ],
  [
    'numbers across zero',
    { type: 'number', minimum: -1, maximum: 20.25 },
    ['-1', '-0.5', '0', '19.99', '20.25', '20.2'],
    ['-1.1', '20.26', '21', '100'],
  ],
  ['a format that is a range', { type: 'integer', format: 'uint8' }, ['0', '255'], ['256', '-1']],
  ['anyOf', { anyOf: [{ type: 'string' }, { type: 'null' }] }, ['"a"', 'null'], ['1']],
  [
    'anyOf beside properties',
    {
      type: 'object',
      properties: { a: { type: 'null' }, b: { type: 'null' } },
      anyOf: [{ required: ['a'] }, { required: ['b'] }],
    },
    ['{"a":null}', '{"b":null}', '{"a":null,"b":null}'],
    ['{}'],
  ],
  [
    'oneOf with a tag',
    {
      oneOf: [
        { type: 'object', properties: { kind: { const: 'a' }, x: { type: 'integer' } }, required: ['kind', 'x'] },
        { type: 'object', properties: { kind: { const: 'b' } }, required: ['kind'] },
      ],
    },
    ['{"kind":"a","x":1}', '{"kind":"b"}'],
    ['{"kind":"b","x":1}', '{"kind":"a"}'],
  ],
  [
    'oneOf by type',
    {
      oneOf: [
        { type: 'integer', maximum: 3 },
        { type: 'integer', minimum: 5 },
        { type: 'string', pattern: '^a' },
        { type: 'string', pattern: '^b' },
      ],
    },
    ['3', '5', '"ax"', '"b"'],
    ['4', '"c"'],
  ],
  [
    'allOf joins objects',
    {
      allOf: [{ $ref: '#/$defs/a' }, { properties: { b: { type: 'null' } }, required: ['b'] }],
      $defs: { a: { type: 'object', properties: { a: { type: 'integer' }, b: true }, required: ['a'] } },
    },
    ['{"a":1,"b":null}'],
    ['{"a":1}', '{"b":null}', '{"a":1,"b":1}'],
  ],
  [
    'allOf joins bounds and patterns',
    { allOf: [{ type: 'string', pattern: 'a' }, { pattern: 'b' }, { maxLength: 2 }] },
    ['"ab"', '"ba"'],
    ['"a"', '"abc"', '"aa"'],
  ],
  [
    'allOf with a closed part',
    {
      allOf: [
        { properties: { a: { type: 'null' }, b: { type: 'null' } } },
        { properties: { a: {} }, additionalProperties: false, type: 'object' },
      ],
    },
    ['{"a":null}', '{}'],
    ['{"b":null}', '{"a":1}'],
  ],
  [
    'recursion',
    {
      $ref: '#/$defs/tree',
      $defs: {
        tree: {
          type: 'object',
          properties: { value: { type: 'integer' }, children: { type: 'array', items: { $ref: '#/$defs/tree' } } },
          required: ['value'],
        },
      },
    },
    ['{"value":1}', '{"value":1,"children":[{"value":2,"children":[]},{"value":3}]}'],
    ['{"value":1,"children":[{}]}', '{"value":1,"children":[1]}'],
  ],
  [
    'recursion at the root',
    { type: 'object', properties: { next: { anyOf: [{ $ref: '#' }, { type: 'null' }] } }, required: ['next'] },
    ['{"next":null}', '{"next":{"next":{"next":null}}}'],
    ['{"next":{}}', '{}'],
  ],
  [
    'recursion through allOf',
    { $ref: '#/$defs/a', $defs: { a: { allOf: [{ type: 'object' }, { properties: { a: { $ref: '#/$defs/a' } } }] } } },
    ['{}', '{"a":{"a":{}}}'],
    ['{"a":1}'],
  ],
  ['a reference with an escaped name', { $ref: '#/$defs/a~1b%20c', $defs: { 'a/b c': { const: 1 } } }, ['1'], ['2']],
  [
    'a property that nothing satisfies is left out',
    {
      properties: { a: false, b: { type: 'null' }, c: { $ref: '#/$defs/endless' } },
      $defs: { endless: { type: 'object', properties: { x: { $ref: '#/$defs/endless' } }, required: ['x'] } },
    },
    ['{}', '{"b":null}'],
    ['{"a":1}', '{"c":{}}'],
  ],
  [
    'annotations do not bind',
    {
      $id: 'i',
      title: 't',
      description: 'd',
      default: 3,
      examples: [1],
      deprecated: true,
      readOnly: true,
      $comment: 'c',
      'x-order': 1,
      type: 'null',
    },
    ['null'],
    ['3'],
  ],
  [
    'a pattern is searched unless it is anchored',
    { type: 'string', pattern: 'b{2}|^a$' },
    ['"xbbx"', '"a"', '"bb"'],
    ['"ab"', '"xax"'],
  ],
  [
    'a pattern with classes, groups and escapes',
    { type: 'string', pattern: '^(?:[A-C]\\d|\\w+?-[^\\s\\d]|"\\\\\\t\\u00e9)$' },
    ['"A1"', '"foo-x"', '"\\"\\\\\\té"'],
    ['"D1x"', '"foo-1"', '"A"', '"\\"\\\\té"'],
  ],
  [
    'a pattern with look-ahead',
    { type: 'string', pattern: '^(?=.*\\d)(?!.*x)[a-z0-9]{3}$' },
    ['"ab1"', '"123"'],
    ['"abc"', '"ax1"', '"ab12"'],
  ],
  [
    'a pattern with properties of characters',
    { type: 'string', pattern: '^\\p{Lu}\\p{L}*$' },
    ['"Đặng"', '"A"'],
    ['"đ"', '"A1"'],
  ],
  [
    'nested repetition of what may be empty',
    { type: 'string', pattern: '^(a*b?)*$' },
    ['""', '"aabab"', '"bb"'],
    ['"c"', '"aac"'],
  ],
  [
    'pattern and format together',
    { type: 'string', format: 'date', pattern: '^2024-' },
    ['"2024-02-29"'],
    ['"2023-01-01"', '"2024-02-30"'],
  ],
  [
    'dates',
    { type: 'string', format: 'date' },
    ['"2024-02-29"', '"2000-02-29"', '"1999-12-31"'],
    ['"2023-02-29"', '"1900-02-29"', '"2024-13-01"', '"2024-04-31"'],
  ],
  [
    'times',
    { type: 'string', format: 'date-time' },
    ['"2024-01-31T23:59:59Z"', '"2024-01-31T00:00:00.5+07:00"'],
    ['"2024-01-31T24:00:00Z"', '"2024-01-31"', '"2024-01-31T00:00:00"'],
  ],
  [
    'ipv6',
    { type: 'string', format: 'ipv6' },
    ['"::"', '"::1"', '"fe80::1:2"', '"1:2:3:4:5:6:7:8"', '"1::"', '"1:2:3:4:5:6:7::"'],
    ['"1:2"', '"1::2::3"', '":1"', '"1:2:3:4:5:6:7:8:9"'],
  ],
  [
    'email',
    { type: 'string', format: 'email' },
    ['"a.b+c@example.co.uk"'],
    ['"a@b"', '".a@example.com"', '"a..b@example.com"', '"a@-b.com"'],
  ],
  [
    'uuid',
    { type: 'string', format: 'uuid' },
    ['"123e4567-e89b-12d3-a456-426614174000"'],
    ['"123e4567e89b12d3a456426614174000"'],
  ],
]

describe('what the engine accepts', needsModels, () => {
  let engine: GrammarEngine
  before(() => {
    engine = openGrammarEngine(testModels()!)
  })
  after(() => engine.free())

  for (const [name, schema, good, bad] of CASES) {
    test(name, () => {
      const grammar = schemaToGrammar(schema)
      const valid = (name.includes('draft 7') ? draft7 : ajv).compile(schema)
      for (const text of good) {
        assert.ok(engine.accepts(grammar, text), `${text} is accepted by\n${grammar}`)
        assert.ok(valid(JSON.parse(text)), `${text} is valid`)
      }
      for (const text of bad) assert.ok(!engine.accepts(grammar, text), `${text} is not accepted by\n${grammar}`)
    })
  }

  test('any object', () => {
    const grammar = jsonObjectGrammar()
    assert.ok(engine.accepts(grammar, '{"a": [1, {"b": null}], "c": "\\u00e9"}'))
    assert.ok(!engine.accepts(grammar, '[1]'))
    assert.ok(!engine.accepts(grammar, '{"a": 1'))
  })

  test('schemas and texts share one builder', () => {
    const builder = new GrammarBuilder()
    const first = builder.schema({ type: 'object', properties: { a: { type: 'integer' } } }, 'arguments')
    const second = builder.schema({ type: 'object', properties: { a: { type: 'string' } } }, 'arguments')
    const grammar = builder.build(`${literal('f ')} ${first} | ${literal('g ')} ${second} | ${builder.anyValue()}`)
    assert.ok(engine.accepts(grammar, 'f {"a":1}'))
    assert.ok(engine.accepts(grammar, 'g {"a":"x"}'))
    assert.ok(engine.accepts(grammar, '[{"a":null}]'))
    assert.ok(!engine.accepts(grammar, 'f {"a":"x"}'))
  })

  test('text until an end', () => {
    const end = '<｜end｜>'
    const builder = new GrammarBuilder()
    const grammar = builder.build(`${anyTextUntil(end, builder)} ${literal(end)}`)
    for (const text of ['', 'a\nb "é😀', '<｜en', '<<｜<｜end<｜end｜'])
      assert.ok(engine.accepts(grammar, text + end), text)
    for (const text of [`a${end}b`, end]) assert.ok(!engine.accepts(grammar, text + end), text)
    assert.ok(!engine.accepts(grammar, 'no end'))
  })

  test('every format draws valid texts', () => {
    const random = generator(7)
    for (const format of [
      'date',
      'time',
      'date-time',
      'duration',
      'uuid',
      'email',
      'hostname',
      'ipv4',
      'ipv6',
      'uri',
      'uri-reference',
      'byte',
      'json-pointer',
    ]) {
      const schema = { type: 'string', format }
      const grammar = schemaToGrammar(schema)
      for (let count = 0; count < 8; count++) assertDrawn(engine, grammar, schema, random)
    }
  })

  test('whatever schema gives a grammar, it is one that the engine parses and whose texts are valid', () => {
    let judged = 0
    fc.assert(
      fc.property(shapes(), fc.integer(), (schema, seed) => {
        const grammar = tryGrammar(schema)
        // The validator looks past a property of that name.
        if (grammar === undefined || grammar.includes('__proto__')) return
        assert.ok(engine.parses(grammar), grammar)
        let valid: ((value: unknown) => boolean) | undefined
        try {
          valid = new Ajv2020({ strict: false, logger: false, ownProperties: true, validateFormats: false }).compile(
            schema as JsonSchema,
          )
        } catch {
          // The validator refuses some schemas that are taken here, such as an empty list of required names.
          return
        }
        const text = engine.draw(grammar, generator(seed))
        if (typeof text !== 'string') {
          assert.equal(text.failed, 'long', grammar)
          return
        }
        if (text.includes('\ufffd')) return
        judged++
        assert.ok(valid(JSON.parse(text)), `${text}\nfor ${JSON.stringify(schema)}\n${grammar}`)
      }),
      { seed: 20240617, numRuns: 1500 },
    )
    assert.ok(judged > 100, `${judged} texts were judged`)
  })

  test('an instance of a random schema is accepted, compact and indented', () => {
    fc.assert(
      fc.property(pairs(3), fc.integer(), ({ schema, make }, seed) => {
        const instance = make(generator(seed))
        assert.ok(
          ajv.validate(schema, instance),
          `test generator: ${JSON.stringify(instance)} for ${JSON.stringify(schema)}`,
        )
        const grammar = schemaToGrammar(schema)
        for (const indent of [0, 2]) {
          const text = JSON.stringify(instance, null, indent)
          assert.ok(engine.accepts(grammar, text), `${text}\nfor ${JSON.stringify(schema)}\n${grammar}`)
        }
      }),
      { seed: 20240613, numRuns: 250 },
    )
  })

  test('a changed instance is accepted only when it is still valid', () => {
    fc.assert(
      fc.property(
        pairs(2),
        fc.integer(),
        fc.nat(),
        fc.constantFrom('', ',', '"', '0', '-', '}', ']', '[', 'a', '\\', ':', '.', 'null'),
        fc.boolean(),
        ({ schema, make }, seed, at, insert, remove) => {
          const text = JSON.stringify(make(generator(seed)))
          const place = at % (text.length + 1)
          const changed = text.slice(0, place) + insert + text.slice(place + (remove ? 1 : 0))
          if (!changed.isWellFormed() || !engine.accepts(schemaToGrammar(schema), changed)) return
          assert.ok(ajv.validate(schema, JSON.parse(changed)), `${changed}\nfor ${JSON.stringify(schema)}`)
        },
      ),
      { seed: 20240614, numRuns: 400 },
    )
  })

  test('what a random sampler writes satisfies the schema', () => {
    fc.assert(
      fc.property(pairs(2), fc.integer(), ({ schema }, seed) => {
        assertDrawn(engine, schemaToGrammar(schema), schema, generator(seed))
      }),
      { seed: 20240615, numRuns: 150 },
    )
  })
})

function tryGrammar(schema: unknown): string | undefined {
  try {
    return schemaToGrammar(schema as JsonSchema)
  } catch (error) {
    assert.ok(error instanceof HubError && error.code === 'invalid_request', String((error as Error).stack))
    return undefined
  }
}

/** Schemas as someone might send them: mostly well-formed, with contradictions, circles and junk. */
function shapes(): fc.Arbitrary<unknown> {
  const names = fc.constantFrom('a', 'b', '__proto__', 'toString', '')
  const count = fc.constantFrom(0, 1, 3, 700)
  const bound = fc.oneof(fc.integer(), fc.double(), fc.constantFrom(0.5, 1e300, 5e-324))
  const { schema: shape } = fc.letrec<{ schema: unknown; list: unknown[] }>(tie => ({
    list: fc.array(tie('schema'), { maxLength: 3 }),
    schema: fc.oneof(
      { maxDepth: 3, depthIdentifier: 'schema' },
      fc.boolean(),
      fc
        .record(
          {
            type: fc.oneof(fc.constantFrom(...TYPES), fc.subarray([...TYPES])),
            properties: fc.dictionary(names, tie('schema'), { maxKeys: 3 }),
            required: fc.array(names, { maxLength: 2 }),
            additionalProperties: tie('schema'),
            propertyNames: tie('schema'),
            items: fc.oneof(tie('schema'), tie('list')),
            prefixItems: tie('list'),
            enum: fc.array(fc.jsonValue({ maxDepth: 1 }), { maxLength: 3 }),
            const: fc.jsonValue({ maxDepth: 1 }),
            anyOf: tie('list'),
            oneOf: tie('list'),
            allOf: tie('list'),
            $ref: fc.constantFrom('#', '#/$defs/a', '#/$defs/b', '#/anyOf/0', '#/properties/a', '#/enum/0', 'a'),
            $defs: fc.record({ a: tie('schema'), b: tie('schema') }),
            pattern: fc.oneof(fc.constantFrom('^a*$', 'b|c', '(?!a)b{2,}', '[^\\W\\d]'), fc.string()),
            format: fc.constantFrom('date', 'email', 'int32', 'float', 'x'),
            minLength: count,
            maxLength: count,
            minItems: count,
            maxItems: count,
            minProperties: count,
            minimum: bound,
            maximum: bound,
            exclusiveMinimum: fc.oneof(bound, fc.boolean()),
            nullable: fc.boolean(),
            title: fc.string(),
          },
          { requiredKeys: [] },
        )
        .chain(schema =>
          fc
            .subarray(Object.keys(schema))
            .map(keys => Object.fromEntries(Object.entries(schema).filter(([key]) => keys.slice(0, 4).includes(key)))),
        ),
      fc.anything(),
    ),
  }))
  return shape
}

function assertDrawn(engine: GrammarEngine, grammar: string, schema: JsonSchema, random: () => number): void {
  const text = engine.draw(grammar, random)
  if (typeof text !== 'string') {
    // Chance alone may not find the text that a pattern waits for.
    assert.equal(text.failed, 'long', grammar)
    return
  }
  // The engine lets some overlong byte sequences through, which no text encoder gives.
  if (text.includes('\ufffd')) return
  assert.ok(ajv.validate(schema, JSON.parse(text)), `${text}\nfor ${JSON.stringify(schema)}: ${ajv.errorsText()}`)
}

/** A small seeded generator of numbers from 0 to below 1 (mulberry32). */
function generator(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}

/** A schema of the supported part and a maker of its instances. */
type Pair = { schema: { [keyword: string]: unknown }; make: (random: () => number) => unknown }

function pick<T>(random: () => number, list: readonly T[]): T {
  return list[Math.floor(random() * list.length)]!
}
function whole(random: () => number, from: number, to: number): number {
  return from + Math.floor(random() * (to - from + 1))
}
const ALPHABET = [...'abzAZ09 _-./"\\\n\t\u0001é漢😀\u2028{}[]:,']
function text(random: () => number, length: number): string {
  return Array.from({ length }, () => pick(random, ALPHABET)).join('')
}

const PATTERNS: [pattern: string, texts: string[]][] = [
  ['^[a-z]+$', ['a', 'hello']],
  ['^\\d{3}-\\d{4}$', ['555-1234']],
  ['foo|^ba[rz]$', ['foo', 'xfoox', 'bar', 'baz']],
  ['^(\\w+\\.)*\\w+@[^"@]{1,4}$', ['a.b_c@xyz', 'a@é"'.replace('"', '')]],
  ['^(?!no)[a-z ]{1,8}$', ['yes', 'n o']],
  ['[\\\\"\\n]', ['a"b', '\\', 'x\ny']],
]
const FORMATS: [format: string, texts: string[]][] = [
  ['date', ['2024-02-29', '1970-01-01']],
  ['time', ['12:34:56Z', '00:00:00.25-03:30']],
  ['date-time', ['2024-05-06T07:08:09Z']],
  ['uuid', ['00000000-0000-4000-8000-00000000abCD']],
  ['ipv4', ['127.0.0.1', '255.10.0.9']],
  ['email', ['someone@example.org']],
]

function leaves(): fc.Arbitrary<Pair> {
  const of = (schema: { [keyword: string]: unknown }, make: Pair['make']): Pair => ({ schema, make })
  const range = fc.tuple(fc.integer({ min: -1200, max: 1200 }), fc.nat(1500), fc.boolean(), fc.boolean())
  return fc.oneof(
    fc.constantFrom(
      of({ type: 'null' }, () => null),
      of({ type: 'boolean' }, random => random() < 0.5),
      of({ type: 'integer' }, random => whole(random, -1e6, 1e6)),
      of({ type: 'number' }, random => pick(random, [0, -1.5, 1e21, 2.5e-9, 123456.789, random()])),
      of({ type: 'string' }, random => text(random, whole(random, 0, 8))),
      of({}, random => pick(random, [1, 'a', null, [true, { b: [] }], {}])),
    ),
    fc
      .tuple(fc.nat(5), fc.nat(5))
      .map(([min, more]) =>
        of({ type: 'string', minLength: min, maxLength: min + more }, random =>
          text(random, whole(random, min, min + more)),
        ),
      ),
    fc
      .constantFrom(...PATTERNS)
      .map(([pattern, texts]) => of({ type: 'string', pattern }, random => pick(random, texts))),
    fc.constantFrom(...FORMATS).map(([format, texts]) => of({ type: 'string', format }, random => pick(random, texts))),
    fc
      .uniqueArray(fc.oneof(fc.string(), fc.integer(), fc.constant(null), fc.constant({ a: [1] })), {
        minLength: 1,
        maxLength: 12,
        selector: value => JSON.stringify(value),
      })
      .map(values => of({ enum: values }, random => pick(random, values))),
    fc.oneof(fc.string(), fc.integer(), fc.boolean()).map(value => of({ const: value }, () => value)),
    range.map(([min, more, noMin, noMax]) =>
      of({ type: 'integer', ...(!noMin && { minimum: min }), ...(!noMax && { maximum: min + more }) }, random =>
        whole(random, min, min + more),
      ),
    ),
    range.map(([min, more, strictMin, strictMax]) => {
      const [low, high] = [min / 8, (min + more + 2) / 8]
      return of(
        {
          type: 'number',
          [strictMin ? 'exclusiveMinimum' : 'minimum']: low,
          [strictMax ? 'exclusiveMaximum' : 'maximum']: high,
        },
        random => whole(random, min * 2 + 1, (min + more) * 2 + 3) / 16,
      )
    }),
  )
}

function pairs(depth: number): fc.Arbitrary<Pair> {
  if (depth === 0) return leaves()
  const inner = pairs(depth - 1)
  const arrays = fc.tuple(inner, fc.nat(3), fc.nat(3)).map(
    ([item, min, more]): Pair => ({
      schema: { type: 'array', items: item.schema, minItems: min, maxItems: min + more },
      make: random => Array.from({ length: whole(random, min, min + more) }, () => item.make(random)),
    }),
  )
  const tuples = fc
    .tuple(fc.array(inner, { minLength: 1, maxLength: 3 }), fc.option(inner, { nil: undefined }), fc.nat(3))
    .map(
      ([items, rest, least]): Pair => ({
        schema: {
          type: 'array',
          prefixItems: items.map(item => item.schema),
          items: rest?.schema ?? false,
          minItems: Math.min(least, items.length),
        },
        make: random => {
          const length = whole(random, Math.min(least, items.length), items.length + (rest === undefined ? 0 : 2))
          return Array.from({ length }, (_, index) => (items[index] ?? rest!).make(random))
        },
      }),
    )
  const names = fc
    .oneof(fc.constantFrom('a', 'b', 'ab', 'name', 'a"b', 'é\n'), fc.string())
    .filter(name => name !== '__proto__' && !/^\d/.test(name))
  const members = fc.uniqueArray(fc.tuple(names, inner, fc.boolean()), { maxLength: 5, selector: ([name]) => name })
  const objects = fc
    .tuple(members, fc.option(inner, { nil: undefined }), fc.boolean())
    .map(([list, extra, split]): Pair => {
      const required = list.filter(([, , needed]) => needed).map(([name]) => name)
      const properties = Object.fromEntries(list.map(([name, { schema }]) => [name, schema]))
      const whole = {
        type: 'object',
        properties,
        required,
        ...(extra !== undefined && { additionalProperties: extra.schema }),
      }
      return {
        // Said in two parts, it is the same schema.
        schema: split && extra === undefined ? { allOf: [{ type: 'object', properties }, { required }] } : whole,
        make: random => {
          const entries = list
            .filter(([, , needed]) => needed || random() < 0.5)
            .map(([name, { make }]) => [name, make(random)])
          if (extra !== undefined && random() < 0.7) entries.push(['zz extra "', extra.make(random)])
          return Object.fromEntries(entries)
        },
      }
    })
  const either = fc.array(inner, { minLength: 1, maxLength: 3 }).map(
    (list): Pair => ({
      schema: { anyOf: list.map(item => item.schema) },
      make: random => pick(random, list).make(random),
    }),
  )
  return fc.oneof(leaves(), arrays, tuples, objects, objects, either)
}
