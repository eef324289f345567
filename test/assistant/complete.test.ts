/** The completion engine over a scripted model and virtual time: what is asked of the model, what is shown, and what never happens. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Completer, type CompletionAsk, type InfillAsk, type InfillPiece } from '../../server/assistant/complete.ts'
import type { Outcome } from '../../server/assistant/outcomes.ts'
import { VirtualTime } from '../helpers/virtual_time.ts'

type Model = (ask: InfillAsk) => string

/** A model that writes four characters every `pieceMs`, and counts what it was asked and how it ended. */
function start(model: Model, options: { pieceMs?: number; ahead?: boolean } = {}) {
  const time = new VirtualTime()
  const seen = { asks: [] as InfillAsk[], running: 0, mostRunning: 0, late: 0, warmed: 0, outcomes: [] as Outcome[] }
  const { pieceMs = 20, ahead = false } = options
  async function* infill(ask: InfillAsk, signal: AbortSignal): AsyncGenerator<InfillPiece> {
    seen.asks.push(ask)
    seen.running++
    seen.mostRunning = Math.max(seen.mostRunning, seen.running)
    try {
      const text = model(ask)
      for (let at = 0; at < text.length; at += 4) {
        await time.wait(pieceMs, signal)
        if (signal.aborted) return
        yield { text: text.slice(at, at + 4) }
        if (signal.aborted) seen.late++
      }
      yield { end: 'stop' }
    } finally {
      seen.running--
    }
  }
  const completer = new Completer({
    infill,
    async warm() {
      seen.warmed++
    },
    now: time.now,
    wait: time.wait,
    settings: () => ({ maxTokens: 64, budgetMs: 1000, ahead }),
    outcome: outcome => seen.outcomes.push(outcome),
  })
  return { time, seen, completer }
}

/** `|` is the cursor. */
function ask(document: string, more: Partial<CompletionAsk> = {}): CompletionAsk {
  const offset = document.indexOf('|')
  const text = document.slice(0, offset) + document.slice(offset + 1)
  return { uri: 'file:///a.ts', language: 'typescript', path: 'a.ts', automatic: true, text, offset, ...more }
}
const never = new AbortController().signal

test('a suggestion comes from the model, and again from the cache without it', async () => {
  const { time, seen, completer } = start(() => 'a + b\nfoo')
  const first = completer.complete(ask('const sum = |\n'), never)
  await time.advance(2000)
  assert.deepEqual(
    (await first).map(({ text, start, end, from }) => ({ text, start, end, from })),
    [{ text: 'a + b', start: 12, end: 12, from: 'model' }],
  )
  const again = await completer.complete(ask('const sum = |\n'), never)
  assert.equal(again[0]?.from, 'cache')
  assert.equal(seen.asks.length, 1)
  // All that the model wrote counts, the line behind the shown one as well.
  assert.deepEqual([completer.counts.generated, completer.counts.written], [1, 9])
})

test('what was typed of a suggestion is answered from it at once', async () => {
  const { time, seen, completer } = start(() => 'compute(a, b)\n')
  const first = completer.complete(ask('const sum = |\n'), never)
  await time.advance(2000)
  assert.equal((await first)[0]?.text, 'compute(a, b)')
  const typed = await completer.complete(ask('const sum = comp|\n'), never)
  assert.deepEqual([typed[0]?.text, typed[0]?.from], ['ute(a, b)', 'cache'])
  // The editor closed the bracket by itself.
  const closed = await completer.complete(ask('const sum = compute(|)\n'), never)
  assert.deepEqual([closed[0]?.text, closed[0]?.end], ['a, b)', 21])
  assert.equal(seen.asks.length, 1)
})

test('typing into a running generation goes on with it', async () => {
  const { time, seen, completer } = start(() => 'compute(a, b)\n', { pieceMs: 100 })
  const aborted = new AbortController()
  const first = completer.complete(ask('const sum = |\n'), aborted.signal)
  await time.advance(300)
  aborted.abort()
  completer.edited('file:///a.ts', 'const sum = c\n', 13)
  const second = completer.complete(ask('const sum = c|\n'), never)
  await time.advance(2000)
  assert.deepEqual(await first, [])
  assert.deepEqual([(await second)[0]?.text, (await second)[0]?.from], ['ompute(a, b)', 'running'])
  assert.equal(seen.asks.length, 1)
})

test('typing something else ends the generation within one piece, before the next request comes', async () => {
  const { time, seen, completer } = start(() => 'compute(a, b)\n', { pieceMs: 100 })
  const aborted = new AbortController()
  const first = completer.complete(ask('const sum = |\n'), aborted.signal)
  await time.advance(300)
  assert.equal(seen.running, 1)
  aborted.abort()
  completer.edited('file:///a.ts', 'const sum = x\n', 13)
  await time.advance(0)
  assert.equal(seen.running, 0)
  assert.equal(seen.late, 0)
  assert.deepEqual(await first, [])
})

test('a generation that nobody waits for ends after a while', async () => {
  const { time, seen, completer } = start(() => `${'x'.repeat(400)}\n`, { pieceMs: 100 })
  const aborted = new AbortController()
  void completer.complete(ask('const sum = |\n'), aborted.signal)
  await time.advance(500)
  aborted.abort()
  await time.advance(1000)
  assert.equal(seen.running, 1)
  await time.advance(4000)
  assert.equal(seen.running, 0)
})

test('a document that is closed while it waits for a pause in typing is asked for no more', async () => {
  const { time, seen, completer } = start(() => 'compute(a)\n')
  const here = ask('const a = |')
  completer.edited(here.uri, here.text, here.offset)
  const shown = completer.complete(here, never)
  completer.closed(here.uri)
  await time.advance(5000)
  assert.deepEqual(await shown, [])
  assert.equal(seen.asks.length, 0)
})

test('the generation ends where the suggestion does, however much the model has to say', async () => {
  let pieces = 0
  const { time, completer } = start(() => {
    pieces++
    return `a\n${'foo()\n'.repeat(1000)}`
  })
  const shown = completer.complete(ask('const sum = |\n'), never)
  await time.advance(1000)
  assert.equal((await shown)[0]?.text, 'a')
  assert.equal(pieces, 1)
})

test('the suggestion after the next one is computed ahead', async () => {
  const { time, seen, completer } = start(
    ({ place }) => (place.linePrefix === '' ? 'b()\n' : place.linePrefix === 'b()' ? '.then(c)\n' : 'z\n'),
    {
      ahead: true,
    },
  )
  const first = completer.complete(ask('|\n'), never)
  await time.advance(3000)
  assert.equal((await first)[0]?.text, 'b()')
  assert.equal(seen.asks.length, 2)
  const next = await completer.complete(ask('b()|\n'), never)
  assert.deepEqual([next[0]?.text, next[0]?.from], ['.then(c)', 'cache'])
})

test('typing towards what is computed ahead lets it run', async () => {
  const { time, seen, completer } = start(
    ({ place }) =>
      place.linePrefix === '' ? 'b()\n' : place.linePrefix === 'b()' ? '.then(longer(than, others))\n' : 'z\n',
    { ahead: true, pieceMs: 100 },
  )
  const first = completer.complete(ask('|\n'), never)
  await time.advance(300)
  assert.equal((await first)[0]?.text, 'b()')
  assert.equal(seen.asks.length, 2)
  for (const typed of ['b', 'b(', 'b()']) {
    completer.edited('file:///a.ts', `${typed}\n`, typed.length)
    const shown = completer.complete(ask(`${typed}|\n`), never)
    await time.advance(typed === 'b()' ? 2000 : 50)
    assert.equal((await shown).length, 1)
  }
  assert.equal(seen.asks[1]?.place.linePrefix, 'b()')
  assert.ok(
    seen.asks.slice(2).every(({ place }) => place.linePrefix.length > 3),
    'it was begun once',
  )
  const other = start(({ place }) => (place.linePrefix === '' ? 'abc\n' : '.then(longer(than, others))\n'), {
    ahead: true,
    pieceMs: 100,
  })
  const shown = other.completer.complete(ask('|\n'), never)
  await other.time.advance(250)
  assert.equal((await shown)[0]?.text, 'abc')
  assert.equal(other.seen.running, 1)
  other.completer.edited('file:///a.ts', 'x\n', 1)
  await other.time.advance(0)
  assert.equal(other.seen.running, 0, 'what is typed past is of no use')
})

test('with an open list the suggestion goes on from the selected item, and fits in when it is typed out', async () => {
  const { time, seen, completer } = start(({ place }) => (place.linePrefix.endsWith('console') ? '.log(a)\n' : 'x\n'))
  const shown = completer.complete({ ...ask('cons|\n'), selected: { start: 0, end: 4, text: 'console' } }, never)
  await time.advance(1000)
  const [suggestion] = await shown
  assert.deepEqual([suggestion?.text, suggestion?.start, suggestion?.end], ['console.log(a)', 0, 4])
  const { linePrefix, offset } = seen.asks[0]!.place
  assert.deepEqual([linePrefix, offset], ['console', 7])
  completer.edited('file:///a.ts', 'conso\n', 5)
  const typed = await completer.complete({ ...ask('conso|\n'), selected: { start: 0, end: 5, text: 'console' } }, never)
  assert.deepEqual([typed[0]?.text, typed[0]?.from], ['console.log(a)', 'cache'])
  completer.accepted(typed[0]!.id, 'console.log'.length)
  completer.accepted(typed[0]!.id)
  assert.deepEqual(
    seen.outcomes.map(({ text }) => text),
    ['.log(a)'],
    'only what the model wrote is told',
  )
})

test('several candidates differ, and only when asked for', async () => {
  const { time, seen, completer } = start(({ temperature }) =>
    temperature === 0 ? 'one\n' : temperature < 0.8 ? 'two\n' : 'one\n',
  )
  const shown = completer.complete(ask('const a = |\n', { automatic: false, candidates: 3 }), never)
  await time.advance(5000)
  assert.deepEqual(
    (await shown).map(({ text }) => text),
    ['one', 'two'],
  )
  assert.equal(seen.mostRunning, 1)
})

test('what was taken and what was typed past is told', async () => {
  const { time, seen, completer } = start(() => 'compute(a)\n')
  const first = completer.complete(ask('const a = |\n'), never)
  await time.advance(2000)
  completer.accepted((await first)[0]!.id)
  const second = completer.complete(ask('const b = |\n'), never)
  await time.advance(2000)
  assert.equal((await second).length, 1)
  completer.edited('file:///a.ts', 'const b = 7\n', 11)
  assert.deepEqual(
    seen.outcomes.map(({ type, text }) => [type, text]),
    [
      ['accepted', 'compute(a)'],
      ['rejected', 'compute(a)'],
    ],
  )
})

test('what was taken word by word counts once as accepted, as far as it was taken', async () => {
  const { time, seen, completer } = start(() => 'compute(alpha, beta)\n')
  const uri = 'file:///a.ts'
  const first = completer.complete(ask('const a = |\n'), never)
  await time.advance(2000)
  const [{ id } = assert.fail()] = await first
  completer.edited(uri, 'const a = compute\n', 17)
  completer.edited(uri, 'const a = compute(alpha\n', 23)
  // One editor tells of it, another one does not.
  completer.accepted(id, 13)
  completer.edited(uri, 'const a = compute(alpha;\n', 24)
  const second = completer.complete(ask('const b = |\n'), never)
  await time.advance(2000)
  await second
  // Typed letter by letter it is not taken.
  completer.edited(uri, 'const b = c\n', 11)
  completer.edited(uri, 'const b = co\n', 12)
  completer.edited(uri, 'const b = cx\n', 12)
  assert.deepEqual(
    seen.outcomes.map(({ type, text }) => [type, text]),
    [
      ['accepted', 'compute(alpha'],
      ['rejected', 'compute(alpha, beta)'],
    ],
  )
  assert.deepEqual([completer.counts.accepted, completer.counts.rejected], [1, 1])
})

test('one candidate of several that is taken is no rejection of the others', async () => {
  const { time, seen, completer } = start(({ temperature }) => (temperature === 0 ? 'one()\n' : `t${temperature}\n`))
  const shown = completer.complete(ask('const a = |\n', { automatic: false, candidates: 3 }), never)
  await time.advance(5000)
  const [first] = await shown
  completer.edited('file:///a.ts', 'const a = one()\n', 15)
  completer.accepted(first!.id)
  completer.edited('file:///a.ts', 'const a = one()\nx\n', 17)
  assert.deepEqual(
    seen.outcomes.map(({ type, text }) => [type, text]),
    [['accepted', 'one()']],
  )
})

test('what is changed soon after it was taken counts as edited, with what it became; what is added behind it does not', async () => {
  const { time, seen, completer } = start(() => 'compute(a)\n')
  const uri = 'file:///a.ts'
  const take = async (then: string): Promise<void> => {
    const first = completer.complete(ask('const a = |\nfoo()\n'), never)
    await time.advance(2000)
    const text = 'const a = compute(a)\nfoo()\n'
    completer.edited(uri, text, 20)
    completer.accepted((await first)[0]!.id)
    completer.edited(uri, then, 20)
    await time.advance(60_000)
  }
  await take('const a = compute(b)\nfoo()\n')
  await take('const a = compute(a) + 1\nfoo()\n')
  await take('nothing is as it was\n')
  assert.deepEqual(
    seen.outcomes.map(({ type, text, final }) => [type, text, final]),
    [
      ['accepted', 'compute(a)', undefined],
      ['edited', 'compute(a)', 'compute(b)'],
      ['accepted', 'compute(a)', undefined],
      ['accepted', 'compute(a)', undefined],
    ],
  )
  assert.equal(completer.counts.edited, 1)
})

test('chunks of other files are told to the model after a rest, and read ahead', async () => {
  const { time, seen, completer } = start(() => 'x\n')
  const other = `export function computeTotal(prices: number[]): number {\n  return prices.reduce((a, b) => a + b)\n}\n`
  completer.visited({ uri: 'file:///b.ts', path: 'b.ts' }, other, 0)
  const here = ask('const prices = [1]\nconst total = computeTotal(|)\n')
  await completer.rest(here, never)
  assert.equal(seen.warmed, 1)
  await completer.rest(here, never)
  assert.equal(seen.warmed, 1, 'nothing changed, so nothing is read again')
  const shown = completer.complete(here, never)
  await time.advance(1000)
  await shown
  assert.deepEqual(
    seen.asks[0]?.extra.map(({ path }) => path),
    ['b.ts'],
  )
})

test('an error of the model reaches who asked', async () => {
  const { time, completer } = start(() => {
    throw new Error('the model is gone')
  })
  const shown = assert.rejects(completer.complete(ask('a = |'), never), /model is gone/)
  await time.advance(1000)
  await shown
})

// Traces of keystrokes.

const SOURCE = `import { readFile } from 'node:fs/promises'

export async function countWords(path: string): Promise<Map<string, number>> {
  const counts = new Map<string, number>()
  const text = await readFile(path, 'utf8')
  for (const word of text.split(/\\s+/)) {
    counts.set(word, (counts.get(word) ?? 0) + 1)
  }
  return counts
}
`

for (let seed = 1; seed <= 12; seed++) {
  test(`keystrokes, seed ${seed}: never two generations, never a stale suggestion, cancelled within a piece`, async () => {
    const random = mulberry(seed)
    // Right most of the time, so that there is something to reuse.
    const model: Model = ({ place }) => {
      const at = SOURCE.indexOf(place.linePrefix, Math.max(0, place.offset - place.linePrefix.length - 2))
      return random() < 0.8 && at >= 0 ? SOURCE.slice(at + place.linePrefix.length) : 'somethingElse(42)\n'
    }
    const { time, seen, completer } = start(model, { pieceMs: 5 + random() * 40, ahead: random() < 0.5 })
    let text = ''
    let open: { controller: AbortController; offset: number; text: string } | undefined
    const shown = { cache: 0, running: 0, model: 0 }
    let stale = 0
    const press = (next: string): void => {
      open?.controller.abort()
      text = next
      completer.edited('file:///a.ts', text, text.length)
      const request = { controller: new AbortController(), offset: text.length, text }
      open = request
      void completer
        .complete({ ...ask('|'), text, offset: text.length }, request.controller.signal)
        .then(suggestions => {
          if (suggestions.length > 0 && open !== request) stale++
          for (const { start, from, text: given } of suggestions) {
            if (start !== request.offset || given === '') stale++
            shown[from]++
          }
        })
    }
    while (text.length < SOURCE.length - 1) {
      const dice = random()
      if (dice < 0.04) {
        press(`${text}q`)
        await time.advance(80 + random() * 100)
        press(text.slice(0, -1))
      } else press(SOURCE.slice(0, text.length + 1))
      await time.advance(dice > 0.97 ? 1500 : 40 + random() * 160)
    }
    await time.advance(5000)
    completer.close()
    await time.advance(0)
    assert.equal(stale, 0)
    assert.equal(seen.mostRunning, 1)
    assert.equal(seen.running, 0)
    assert.equal(seen.late, 0)
    assert.ok(shown.cache + shown.running > shown.model, JSON.stringify(shown))
    assert.ok(seen.asks.length < text.length * 0.6, `${seen.asks.length} generations for ${text.length} keys`)
  })
}

function mulberry(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let value = Math.imul(state ^ (state >>> 15), state | 1)
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61)
    return ((value ^ (value >>> 14)) >>> 0) / 4294967296
  }
}
