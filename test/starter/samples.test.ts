/** The pieces that the starter model learns: cut middles, masked questions, checked answers; and what it is compared with. */
import assert from 'node:assert/strict'
import { resolve } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { randomAt } from '../../server/trainer/random.ts'
import { allExchanges, chatSequence, chatSequences } from '../../training_data/starter/chat.ts'
import { codingExchanges } from '../../training_data/starter/coding.ts'
import { choosePlaces, isWellFormed } from '../../training_data/starter/lines.ts'
import { Ngram } from '../../training_data/starter/ngram.ts'
import { plotLoss } from '../../training_data/starter/plot.ts'
import { tableRows } from '../../training_data/starter/product.ts'
import { cutMiddle, documentSequences, fimTokens, infillSequences } from '../../training_data/starter/samples.ts'
import {
  CHAT_END,
  CHAT_START,
  END,
  FIM_MIDDLE,
  FIM_PREFIX,
  FIM_SUFFIX,
  Tokenizer,
  trainTokenizer,
} from '../../training_data/starter/tokenizer.ts'

const TEXT = `export function add(first: number, second: number): number {
  const result = first + second
  return result
}

// Xin chào, đây là một ví dụ nhỏ.
export const names = ['one', 'two', "three"].map(name => name.toUpperCase())
`.repeat(6)
const tokenizer = new Tokenizer(trainTokenizer([{ text: TEXT, weight: 1 }], 400))
const ROOT = resolve(import.meta.dirname, '..', '..')

test('a cut text is its parts, whatever the text', () => {
  fc.assert(
    fc.property(fc.string({ minLength: 60, maxLength: 200, unit: 'binary' }), fc.nat(1000), (text, seed) => {
      const split = cutMiddle(text, randomAt(seed, 1))
      assert.ok(split)
      assert.ok(text.startsWith(split.prefix + split.middle))
      if (split.suffix !== '') assert.equal(split.prefix + split.middle + split.suffix, text)
      assert.doesNotMatch(split.prefix, /[\ud800-\udbff]$/)
    }),
    { seed: 7, numRuns: 100 },
  )
  assert.equal(cutMiddle('short', randomAt(1, 1)), undefined)
})

test('fill-in-the-middle: prefix, suffix, middle, end, as the hub asks', () => {
  const tokens = fimTokens(tokenizer, { prefix: 'const a', middle: ' = 1', suffix: '\n' })
  const [pre, suf, mid] = [FIM_PREFIX, FIM_SUFFIX, FIM_MIDDLE].map(token =>
    tokens.indexOf(tokenizer.special(token as typeof END)),
  )
  assert.equal(pre, 0)
  assert.equal(tokenizer.decode(tokens.slice(1, suf)), 'const a')
  assert.equal(tokenizer.decode(tokens.slice(suf! + 1, mid)), '\n')
  assert.equal(tokenizer.decode(tokens.slice(mid! + 1, -1)), ' = 1')
  assert.equal(tokens.at(-1), tokenizer.special(END))
})

test('documents in pieces: the same pass the same pieces, plain ones hold the whole text, about half of the code is cut', () => {
  const document = { source: 's', path: 'p', kind: 'code', text: TEXT.repeat(20) } as const
  const documents = Array.from({ length: 30 }, () => document)
  const options = { seed: 3, pass: 1 }
  const sequences = documentSequences(tokenizer, documents, options)
  assert.deepEqual(documentSequences(tokenizer, documents, options), sequences)
  assert.notDeepEqual(documentSequences(tokenizer, documents, { ...options, pass: 2 }), sequences)
  assert.ok(sequences.every(({ tokens, weights }) => tokens.length <= 512 && weights.every(weight => weight === 1)))
  const cut = sequences.filter(({ tokens }) => tokens[0] === tokenizer.special(FIM_PREFIX)).length / sequences.length
  assert.ok(cut > 0.35 && cut < 0.65, String(cut))
  const plain = documentSequences(tokenizer, [document], { ...options, fimShare: 0 })
  assert.equal(tokenizer.decode(plain.flatMap(({ tokens }) => [...tokens])), document.text)
  assert.equal(plain.at(-1)?.tokens.at(-1), tokenizer.special(END))
})

test('lines to be filled in: the parts are neighbours in the text, and what is to be written counts most', () => {
  const document = { source: 's', path: 'p@1/src/file.ts', kind: 'code', text: TEXT.repeat(20) } as const
  const options = { seed: 1, pass: 0, tokens: 20_000 }
  const sequences = infillSequences(tokenizer, [document], options)
  assert.ok(sequences.length > 40, String(sequences.length))
  const names = new Set<string>()
  for (const { tokens, weights } of sequences) {
    const place = (token: typeof END): number => tokens.indexOf(tokenizer.special(token))
    const [prefix, suffix, middle] = [FIM_PREFIX, FIM_SUFFIX, FIM_MIDDLE].map(token => place(token as typeof END))
    const text = (from: number, to: number): string => tokenizer.decode(tokens.slice(from, to))
    names.add(text(0, prefix!))
    const before = text(prefix! + 1, suffix!)
    assert.ok(before === '' || before.endsWith('\n'))
    assert.ok(document.text.includes(before + text(middle! + 1, tokens.length - 1) + text(suffix! + 1, middle!)))
    const written = weights.indexOf(3)
    assert.ok(written > middle! && weights.every((weight, at) => (at >= written ? weight === 3 : weight < 0.5)))
    assert.doesNotMatch(text(middle! + 1, written), /\n/)
  }
  assert.deepEqual([...names].sort(), ['', '\n\n--- src/file.ts ---\n\n'])
  assert.deepEqual(infillSequences(tokenizer, [document], options), sequences)
})

test('of a chat the answers and their ends are learned, and nothing else', () => {
  const turns = [
    { topic: 't', question: 'add', answer: 'result' },
    { topic: 't', question: 'names', answer: 'one two' },
  ]
  const { tokens, weights } = chatSequence(tokenizer, turns, 'first')
  const learned: number[][] = []
  tokens.forEach((token, index) => {
    if (weights[index] === 0) return
    if (weights[index - 1] === 0) learned.push([])
    learned.at(-1)!.push(token)
  })
  const end = tokenizer.special(CHAT_END)
  assert.deepEqual(learned, [
    [...tokenizer.encode('result'), end],
    [...tokenizer.encode('one two'), end],
  ])
  assert.equal(tokens.filter(token => token === tokenizer.special(CHAT_START)).length, 5)
})

test('exchanges: a few thousand, in both languages, about what this product has; the answers of code hold', () => {
  const exchanges = allExchanges(ROOT, 1)
  assert.ok(exchanges.length > 2000, String(exchanges.length))
  const asked = (question: string): string | undefined => exchanges.find(each => each.question === question)?.answer
  assert.match(asked('What does the setting slots do?') ?? '', /Requests that a model works on at once/)
  assert.match(asked('Thiết lập slots làm gì?') ?? '', /yêu cầu/)
  assert.match(asked('What does ai-hub doctor do?') ?? '', /Node/)
  assert.match(asked('Xin chào') ?? '', /chào/)
  assert.deepEqual(allExchanges(ROOT, 1), exchanges)
  assert.notDeepEqual(codingExchanges(1), codingExchanges(2))
  const [first, again] = [0, 0].map(pass => chatSequences(tokenizer, exchanges.slice(0, 50), { seed: 1, pass }))
  assert.deepEqual(first, again)
})

test('rows of tables whose first cell is code', () => {
  const rows = tableRows('| A | B |\n|---|---|\n| `port` | 8000 | The port. |\n| plain | no |\ntext `x`\n')
  assert.deepEqual(rows, [['port', '8000', 'The port.']])
})

test('a byte n-gram: chances sum to one, what it learned is likely, and it completes a line that it knows', () => {
  const ngram = new Ngram()
  ngram.learn(Buffer.from(TEXT))
  const text = Buffer.from('const result = first')
  for (const at of [0, 1, 7, text.length]) {
    const chances = ngram.chances(text, at)
    assert.ok(Math.abs(chances.reduce((sum, chance) => sum + chance, 0) - 1) < 1e-9)
    if (at < text.length) assert.equal(ngram.chance(text, at), chances[text[at]!])
  }
  assert.ok(ngram.bits(Buffer.from('  return result\n')) < ngram.bits(Buffer.from('  zwq!# ~~~~~~~\n')) / 4)
  assert.equal(ngram.completeLine(Buffer.from('  const resu'), 60), 'lt = first + second')
})

test('well-formed lines', () => {
  for (const line of [
    'foo(a, [1, 2])',
    'if (x) {',
    '} else {',
    '})',
    'call(a,',
    "const a = 'it'",
    'x = /[(]/.test(y)',
    'const t = `a',
    "a = b // don't",
  ])
    assert.ok(isWellFormed(line), line)
  for (const line of ['foo(a', 'foo(a]', "const a = 'it", 'x = [1, 2', 'f({ a: 1 )', 'f("a)'])
    assert.ok(!isWellFormed(line), line)
})

test('places: in code, half a line in, and both halves are the line', () => {
  const places = choosePlaces([TEXT], 8, 1)
  assert.equal(places.length, 8)
  for (const { before, after, start, rest } of places) {
    assert.ok(before.endsWith(start) && TEXT.includes(before + rest + after))
    assert.doesNotMatch(start, /^\s*\/\//)
    assert.ok(start.trim().length >= rest.length)
  }
  assert.deepEqual(choosePlaces([TEXT], 8, 1), places)
})

test('the plot is an SVG with both curves of each stage', () => {
  const points = Array.from({ length: 400 }, (_, i): [number, number] => [i + 1, 8 - i / 100])
  const svg = plotLoss([
    {
      name: 'one',
      training: points,
      validation: [
        [200, 6],
        [400, 5],
      ],
    },
  ])
  assert.match(svg, /^<svg [^>]*viewBox="0 0 720 360"/)
  assert.equal(svg.match(/<polyline /g)?.length, 2)
  assert.ok(!svg.includes('NaN'))
})
