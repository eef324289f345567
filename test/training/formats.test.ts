/** Files of every format become samples; what is wrong in them is told with its line. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import fc from 'fast-check'
import { containerOf, type ReadOptions, readSamples, readStream } from '../../server/training/formats.ts'
import { MAX_RECORD_BYTES } from '../../server/training/formats_bytes.ts'
import { Sample } from '../../server/wire/sample.ts'

type Outcome = { samples: Sample[]; problems: { line: number; message: string }[]; formats: string[] }

/** Reads bytes in pieces of the given size, so that every character and line is cut somewhere. */
async function read(content: string | Buffer, path = 'data', options: ReadOptions = {}, piece = 7): Promise<Outcome> {
  const bytes = typeof content === 'string' ? Buffer.from(content) : content
  const pieces = function* (): Generator<Buffer> {
    for (let at = 0; at < bytes.length; at += piece) yield bytes.subarray(at, at + piece)
  }
  const outcome: Outcome = { samples: [], problems: [], formats: [] }
  for await (const each of readStream(Readable.from(pieces()), options, path)) {
    if ('problem' in each) outcome.problems.push(each.problem)
    else {
      const { origin: _origin, ...sample } = each.sample
      outcome.samples.push(sample as Sample)
      outcome.formats.push(each.format)
      Sample.parse(each.sample)
    }
  }
  return outcome
}
const lines = (...values: unknown[]): string =>
  values.map(value => (typeof value === 'string' ? value : JSON.stringify(value))).join('\n')
const chat = (...texts: string[]): Sample => ({
  kind: 'chat',
  messages: texts.map((content, index) => ({ role: index % 2 === 0 ? 'user' : 'assistant', content })),
})

test('instructions with and without input, as JSON, JSON lines and CSV', async () => {
  const records = [
    { instruction: 'Dịch', input: 'hello', output: 'xin chào' },
    { instruction: 'Say "hi"', input: '', output: 'hi,\nthere' },
  ]
  const expected = [chat('Dịch\n\nhello', 'xin chào'), chat('Say "hi"', 'hi,\nthere')]
  const csv = 'instruction,input,output\r\nDịch,hello,xin chào\r\n"Say ""hi""",,"hi,\nthere"\r\n'
  for (const [content, path] of [
    [JSON.stringify(records), 'a.json'],
    [JSON.stringify(records, undefined, 2), 'a.json'],
    [JSON.stringify({ data: records }), 'a.json'],
    [lines(...records), 'a.jsonl'],
    [lines(...records), 'a.json'],
    [records.map(record => JSON.stringify(record, undefined, 1)).join('\n'), 'a.json'],
    [lines(...records), ''],
    [JSON.stringify(records), ''],
    [csv, 'a.csv'],
    [csv.replaceAll(',', ';').replace('hi;', 'hi,'), 'a.csv'],
    [csv, ''],
  ] as const) {
    const { samples, problems, formats } = await read(content, path)
    assert.deepEqual(problems, [], content)
    assert.deepEqual(samples, expected, content)
    assert.deepEqual(formats, ['instruction', 'instruction'])
  }
})

test('instructions with a system text and a history', async () => {
  const record = { instruction: 'c', output: 'd', system: 's', history: [['a', 'b']] }
  const { samples } = await read(lines(record), 'a.jsonl')
  const turns = ['a', 'b', 'c', 'd'].map((content, index) => ({
    role: index % 2 === 0 ? 'user' : 'assistant',
    content,
  }))
  const messages = [{ role: 'system', content: 's' }, ...turns]
  assert.deepEqual(samples, [{ kind: 'chat', messages }])
})

test("OpenAI's messages: tools, calls, weights, parts", async () => {
  const parameters = { type: 'object', properties: { city: { type: 'string' } } }
  const record = {
    messages: [
      {
        role: 'user',
        content: [
          { type: 'text', text: 'Weather in ' },
          { type: 'text', text: 'Huế?' },
        ],
      },
      {
        role: 'assistant',
        content: null,
        weight: 0,
        tool_calls: [{ id: 'c1', type: 'function', function: { name: 'weather', arguments: '{"city":"Huế"}' } }],
      },
      { role: 'tool', tool_call_id: 'c1', content: '31' },
      { role: 'assistant', content: '31 degrees.', weight: 1 },
    ],
    tools: [{ type: 'function', function: { name: 'weather', description: 'now', parameters } }],
    parallel_tool_calls: false,
  }
  const { samples, problems } = await read(lines(record), 'a.jsonl')
  assert.deepEqual(problems, [])
  assert.deepEqual(samples, [
    {
      kind: 'chat',
      messages: [
        { role: 'user', content: 'Weather in Huế?' },
        {
          role: 'assistant',
          content: null,
          tool_calls: [{ id: 'c1', name: 'weather', arguments: '{"city":"Huế"}' }],
          weight: 0,
        },
        { role: 'tool', content: '31', tool_call_id: 'c1' },
        { role: 'assistant', content: '31 degrees.', weight: 1 },
      ],
      tools: [{ name: 'weather', description: 'now', parameters }],
    },
  ])
})

test('ShareGPT turns, with a system text and function calls', async () => {
  const record = {
    system: 'Be brief.',
    conversations: [
      { from: 'human', value: 'Time?' },
      { from: 'function_call', value: '{"name":"clock","arguments":{"zone":"ICT"}}' },
      { from: 'observation', value: '12:00' },
      { from: 'gpt', value: 'Noon.' },
    ],
    tools: '[{"name":"clock","description":"","parameters":{}}]',
  }
  const { samples, formats } = await read(JSON.stringify([record]), 'a.json')
  assert.deepEqual(formats, ['sharegpt'])
  assert.deepEqual(samples, [
    {
      kind: 'chat',
      messages: [
        { role: 'system', content: 'Be brief.' },
        { role: 'user', content: 'Time?' },
        { role: 'assistant', content: null, tool_calls: [{ name: 'clock', arguments: '{"zone":"ICT"}' }] },
        { role: 'tool', content: '12:00' },
        { role: 'assistant', content: 'Noon.' },
      ],
      tools: [{ name: 'clock', description: '', parameters: {} }],
    },
  ])
})

test('prompts with completions, texts, gaps and own samples', async () => {
  const own: Sample = { kind: 'infill', prefix: 'a', middle: 'b', suffix: 'c', path: 'x.ts' }
  const tests = { language: 'python', code: 'assert True' } as const
  const { samples, formats } = await read(
    lines(
      { prompt: 'p', completion: ' c' },
      { prompt: 'p', response: 'r', tests },
      { text: 'whole' },
      { prefix: '1', middle: '2', suffix: '3' },
      own,
    ),
    'a.jsonl',
  )
  assert.deepEqual(formats, ['prompt_completion', 'prompt_completion', 'text', 'infill', 'sample'])
  assert.deepEqual(samples, [
    { kind: 'completion', prompt: 'p', completion: ' c' },
    { kind: 'completion', prompt: 'p', completion: 'r', tests },
    { kind: 'text', text: 'whole' },
    { kind: 'infill', prefix: '1', middle: '2', suffix: '3' },
    own,
  ])
})

test('preferences in the forms that are about', async () => {
  const prompt = [{ role: 'user', content: 'Q' }]
  const answer = (content: string) => ({ role: 'assistant', content })
  const expected: Sample = {
    kind: 'preference',
    messages: [{ role: 'user', content: 'Q' }],
    chosen: 'good',
    rejected: 'bad',
  }
  for (const record of [
    { prompt: 'Q', chosen: 'good', rejected: 'bad' },
    { instruction: 'Q', input: '', chosen: 'good', rejected: 'bad' },
    { prompt, chosen: [answer('good')], rejected: [answer('bad')] },
    { chosen: [...prompt, answer('good')], rejected: [...prompt, answer('bad')] },
    {
      input: { messages: prompt, tools: [], parallel_tool_calls: true },
      preferred_output: [answer('good')],
      non_preferred_output: [answer('bad')],
    },
  ]) {
    assert.deepEqual((await read(lines(record), 'a.jsonl')).samples, [expected])
  }
  const { problems } = await read(
    lines({ prompt: 'Q', chosen: 'good' }, { chosen: [...prompt, answer('a')], rejected: [answer('b')] }),
    'a.jsonl',
  )
  assert.deepEqual(
    problems.map(({ line }) => line),
    [1, 2],
  )
})

test('plain text in pieces at empty lines, and code as gaps', async () => {
  const paragraph = 'Một đoạn văn. '.repeat(200)
  const { samples } = await read(`${paragraph}\n\n${paragraph}\n\n${paragraph}\n\n${paragraph}\n`, 'a.txt', {}, 1000)
  assert.ok(samples.length > 1)
  const joined = samples.map(sample => (sample.kind === 'text' ? sample.text : '')).join('\n\n')
  assert.equal(joined.split('Một đoạn văn.').length, 801)
  const code = await read('export function add(a, b) {\n  return a + b\n}\n', 'a.ts')
  assert.deepEqual([...new Set(code.formats)], ['code'])
})

test('the container is found by content first, then by name', () => {
  const of = (text: string, path = '') => containerOf(Buffer.from(text), path)
  assert.equal(of('[{"text":"a"}]'), 'json')
  assert.equal(of('{"text":"a"}\n{"text":"b"}'), 'jsonl')
  assert.equal(of('{\n "text": "a"\n}'), 'json')
  assert.equal(of('{"data": [\n{"text":"a"},\n{"text":"b"}\n]}', 'a.json'), 'json')
  assert.equal(of('{broken\n{"text":"a"}\n{"text":"b"}', 'a.json'), 'jsonl')
  assert.equal(of('[{"text":"a"}]', 'a.jsonl'), 'jsonl')
  assert.equal(of('[\n{"text":"a"}]', 'a.jsonl'), 'json')
  assert.equal(of('prompt,completion\na,b'), 'csv')
  assert.equal(of('Hello, prompt reader.'), 'text')
  assert.equal(of('def f(): pass', 'a.py'), 'code')
  assert.equal(of('a\0b', 'a.jsonl'), 'binary')
  assert.equal(of('', 'a.jsonl'), 'jsonl')
})

test('malformed lines are told by number and the others are read', async () => {
  const { samples, problems } = await read(
    lines(
      { text: 'one' },
      '{"text": "two"',
      '',
      'null',
      { messages: [{ role: 'robot', content: 'x' }] },
      { messages: [{ role: 'user', content: [{ type: 'image_url' }] }] },
      { messages: [] },
      { foo: 1 },
      { instruction: 'x' },
      { messages: [{ role: 'assistant', content: 'x', weight: 3 }] },
      { text: 'last' },
    ),
    'a.jsonl',
  )
  assert.equal(samples.length, 2)
  assert.deepEqual(
    problems.map(({ line, message }) => [line, /[A-Za-z']+/.exec(message)?.[0]]),
    [
      [2, 'Wrong'],
      [4, 'A'],
      [5, 'messages'],
      [6, 'messages'],
      [7, "'messages'"],
      [8, 'No'],
      [9, "'output'"],
      [10, 'messages'],
    ],
  )
})

test('a broken element of a list costs itself, a missing bracket the rest; both are told', async () => {
  const { samples, problems } = await read('[\n{"text":"a"},\n{"text":},\n{"text":"b"}\n,{"text":"c"', 'a.json')
  assert.equal(samples.length, 2)
  assert.deepEqual(
    problems.map(({ line }) => line),
    [3, 5],
  )
  assert.match(problems[1]!.message, /never closed/)
  assert.match((await read('[{"text":"a"},', 'a.json')).problems[0]!.message, /cut off/)
})

test('a table with missing fields, loose quotes and no end', async () => {
  const { samples, problems } = await read('prompt,completion\na\nb,c\n"d"e,f\ng,"5"" pipe"\nh,"open\n', 'a.csv')
  assert.deepEqual(samples, [
    { kind: 'completion', prompt: 'b', completion: 'c' },
    { kind: 'completion', prompt: 'g', completion: '5" pipe' },
  ])
  assert.deepEqual(
    problems.map(({ line }) => line),
    [2, 4, 6],
  )
})

test('a wanted format refuses the records of others', async () => {
  const { samples, problems } = await read(lines({ text: 'a' }, { prompt: 'a', completion: 'b' }), 'a.jsonl', {
    format: 'text',
  })
  assert.equal(samples.length, 1)
  assert.match(problems[0]!.message, /prompt_completion, not text/)
})

test('encodings: marks of UTF-8 and UTF-16 are honoured, wrong bytes told by line', async () => {
  const text = lines({ text: 'Tiếng Việt 😀' }, { text: 'hai' })
  const swapped = Buffer.from(`\uFEFF${text}`, 'utf16le').swap16()
  for (const bytes of [Buffer.from(`\uFEFF${text}`), Buffer.from(`\uFEFF${text}`, 'utf16le'), swapped]) {
    const { samples, problems } = await read(bytes, 'a.jsonl')
    assert.deepEqual(problems, [])
    assert.deepEqual(samples, [
      { kind: 'text', text: 'Tiếng Việt 😀' },
      { kind: 'text', text: 'hai' },
    ])
  }
  const bad = Buffer.concat([
    Buffer.from('{"text":"a"}\n{"text":"'),
    Buffer.from([0xc3, 0x28]),
    Buffer.from('"}\n{"text":"b"}'),
  ])
  const outcome = await read(bad, 'a.jsonl')
  assert.equal(outcome.samples.length, 2)
  assert.deepEqual(
    outcome.problems.map(({ line }) => line),
    [2],
  )
  assert.match(outcome.problems[0]!.message, /UTF-8/)
})

test('a line, a value and a row without an end are bounded, and what follows a line is read', async () => {
  const piece = Buffer.alloc(2 ** 20, 'x')
  async function* endless(head: string, tail: string): AsyncGenerator<Buffer> {
    yield Buffer.from(head)
    for (let count = 0; count <= MAX_RECORD_BYTES / piece.length; count++) yield piece
    yield Buffer.from(tail)
  }
  const collect = async (path: string, head: string, tail: string): Promise<(number | string)[]> => {
    const found: (number | string)[] = []
    for await (const each of readStream(endless(head, tail), {}, path)) {
      found.push('problem' in each ? each.problem.line : (each.sample as { text: string }).text)
    }
    return found
  }
  assert.deepEqual(await collect('a.jsonl', '{"text":"a"}\n', '\n{"text":"b"}\n'), ['a', 2, 'b'])
  assert.deepEqual(await collect('a.json', '[{"text":"', '"},\n{"text":"b"}]'), [1, 'b'])
  assert.equal((await collect('a.csv', 'text\n"', '\n'))[0], 2)
})

test('deep nesting is a problem, not a crash', async () => {
  const deep = '['.repeat(100_000) + ']'.repeat(100_000)
  const nested = `${'{"a":'.repeat(5000)}1${'}'.repeat(5000)}`
  const { samples, problems } = await read(
    `{"messages":[{"role":"user","content":"x"}],"tools":[{"name":"f","parameters":${nested}}]}\n{"text":${deep}}\n{"text":"b"}`,
    'a.jsonl',
    {},
    65_536,
  )
  assert.equal(samples.length, 1)
  assert.equal(problems.length, 2)
})

test('a missing file and a folder are refused by name', async context => {
  const folder = mkdtempSync(join(tmpdir(), 'ai-hub-formats-'))
  context.after(() => rmSync(folder, { recursive: true }))
  await assert.rejects(readSamples(join(folder, 'nope.jsonl')).next(), { code: 'not_found', message: /nope\.jsonl/ })
  await assert.rejects(readSamples(folder).next(), { code: 'invalid_request' })
  const path = join(folder, 'some.jsonl')
  writeFileSync(path, '{"text":"a"}\n')
  const { value } = await readSamples(path).next()
  assert.deepEqual(value, {
    sample: { kind: 'text', text: 'a', origin: { source: 'some.jsonl', line: 1 } },
    format: 'text',
  })
})

test('any bytes, under any name, end in samples that are valid and problems with lines', async () => {
  const fragment = fc.constantFrom(
    '{"text":"a"}',
    '{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}',
    '{"prompt":"a","chosen":[{"role":"assistant"}],"rejected":1}',
    '{"conversations":[{"from":"gpt","value":"v"}]}',
    '{"kind":"chat","messages":[]}',
    '{"__proto__":{"text":"a"}}',
    'prompt,completion',
    '"a","b"',
    '"',
    '\\',
    '[',
    ']',
    '{',
    '}',
    ',',
    '\n',
    '\r\n',
    '\uFEFF',
    '😀',
  )
  const bytes = fc
    .array(
      fc.oneof(
        fragment.map(text => Buffer.from(text)),
        fc.uint8Array({ maxLength: 20 }).map(Buffer.from),
      ),
      { maxLength: 20 },
    )
    .map(pieces => Buffer.concat(pieces))
  const name = fc.constantFrom('a.json', 'a.jsonl', 'a.csv', 'a.txt', 'a.ts', 'a', 'a.py')
  await fc.assert(
    fc.asyncProperty(bytes, name, fc.integer({ min: 1, max: 9 }), async (content, path, piece) => {
      const { problems } = await read(content, path, {}, piece)
      const total = content.toString('latin1').split('\n').length
      for (const { line } of problems) assert.ok(line >= 1 && line <= total)
    }),
    { seed: 5, numRuns: 700 },
  )
})

test('how the bytes are cut changes nothing', async () => {
  const content = Buffer.from(
    `\uFEFF${lines({ text: 'Tiếng 😀' }, '{"text":', { prompt: 'a\nb', completion: '"c"\\' }, { instruction: 'ü', output: '' })}\r\n`,
  )
  for (const path of ['a.jsonl', 'a.json', 'a.csv', 'a.txt']) {
    const whole = await read(content, path, {}, content.length)
    for (let piece = 1; piece < 12; piece++) assert.deepEqual(await read(content, path, {}, piece), whole)
  }
})
