/** The sample of Vietnamese coding instructions: well-formed, without doubles, and every answer that has tests passes them. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { test } from 'node:test'
import * as z from 'zod'
import { extractCode, findPython, runTests } from '../../server/training/sandbox.ts'
import { SampleTests } from '../../server/wire/sample.ts'

const PATH = resolve(import.meta.dirname, '../../training_data/vietnamese_coding.sample.json')
const Entry = z.strictObject({
  instruction: z.string().min(10),
  input: z.string(),
  output: z.string().min(20),
  language: z.string().min(2).optional(),
  tests: SampleTests.optional(),
})

const text = readFileSync(PATH, 'utf8')
const entries = z.array(Entry).parse(JSON.parse(text))
const tested = entries.filter(entry => entry.tests !== undefined)
const name = (entry: z.infer<typeof Entry>): string => entry.instruction.slice(0, 60)

test('there are at least 130 entries, 90 of them with tests', () => {
  assert.ok(entries.length >= 130, `${entries.length} entries`)
  assert.ok(tested.length >= 90, `${tested.length} with tests`)
})

test('the text is NFC and free of control characters, replacement characters and mojibake', () => {
  assert.equal(text, text.normalize('NFC'))
  assert.doesNotMatch(text, /[^\P{C}\n]|\uFFFD/u)
  assert.doesNotMatch(text, /Ã[¡-¿]|áº|á»|Æ°|Ä‘/)
})

test('instructions and answers are Vietnamese', () => {
  const marks = /[ăâđêôơưàảãáạằẳẵắặầẩẫấậèẻẽéẹềểễếệìỉĩíịòỏõóọồổỗốộờởỡớợùủũúụừửữứựỳỷỹýỵ]/i
  for (const entry of entries) {
    assert.match(entry.instruction, marks)
    assert.match(entry.output.replace(/```[\s\S]*?```/g, ''), marks, name(entry))
  }
})

test('no instruction and no answer is there twice', () => {
  const keys = entries.map(entry => `${entry.instruction}\n${entry.input}`.toLowerCase().replace(/\s+/g, ' '))
  assert.equal(new Set(keys).size, keys.length)
  assert.equal(new Set(entries.map(entry => entry.output)).size, entries.length)
})

test('every answer holds a closed block of code', () => {
  for (const entry of entries) {
    const fences = entry.output.match(/^```/gm) ?? []
    assert.ok(fences.length >= 2 && fences.length % 2 === 0, name(entry))
  }
})

test('every test is in the language that the entry names', () => {
  for (const entry of tested) assert.equal(entry.tests!.language, entry.language, name(entry))
})

for (const language of ['javascript', 'typescript', 'python'] as const) {
  const python = language === 'python' ? await findPython() : 'node'
  const skip = python === undefined ? { skip: 'needs Python 3.10 or newer' } : {}
  test(`the answers in ${language} pass their tests, and no test passes without its answer`, skip, async () => {
    const { signal } = new AbortController()
    for (const entry of tested) {
      const tests = entry.tests!
      if (tests.language !== language) continue
      const run = await runTests(extractCode(entry.output, language), tests, signal)
      assert.equal(run.outcome, 'passed', `${name(entry)}: ${run.said}`)
      const empty = await runTests(language === 'python' ? 'pass' : '0', tests, signal)
      assert.equal(empty.outcome, 'failed', `${name(entry)}: its tests pass without the answer`)
    }
  })
}
