/** Fill-in-the-middle prompts in the form of each family of models, and prompts that end within a word. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { readFim } from '../../server/worker/fim.ts'
import { afterToken, agreeing, cutBack } from '../../server/worker/heal.ts'
import { infillPrompt } from '../../server/worker/infill.ts'
import type { Model } from '../../server/worker/model.ts'
import { needsModels, testModels } from '../helpers/models.ts'
import { openVocabulary, writeVocabulary } from '../helpers/vocabulary.ts'

const folder = mkdtempSync(join(tmpdir(), 'ai-hub-fim-'))
const open: Model[] = []
after(() => {
  for (const model of open) model.free()
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
})

/** A vocabulary of bytes with the control tokens of a family. */
function family(name: string, control: string[], options: { eos?: string; bos?: string } = {}): Model {
  const eos = options.eos ?? '<eos>'
  const bos = options.bos === undefined ? {} : { bos: options.bos }
  const path = join(folder, `${open.length}.gguf`)
  writeVocabulary(path, [...new Set([eos, ...(options.bos === undefined ? [] : [options.bos]), ...control])], {
    eos,
    ...bos,
    name,
  })
  return opened(path)
}

function opened(path: string): Model {
  const model = openVocabulary(path)
  open.push(model)
  return model
}

const text = (model: Model, tokens: readonly number[]): string =>
  tokens.map(token => model.piece(token, true).toString('utf8')).join('')
const request = { type: 'infill' as const, prefix: 'a\n', suffix: ')\nz', prompt: 'f(', path: 'src/a.ts' }
const extra = [{ filename: 'b.ts', text: 'let b\n' }]

const FIM = ['<|fim_prefix|>', '<|fim_suffix|>', '<|fim_middle|>']
const STAR = ['<fim_prefix>', '<fim_suffix>', '<fim_middle>']
const FAMILIES: [name: string, model: () => Model, alone: string, withOther: string][] = [
  [
    'Qwen2.5-Coder',
    () => family('Qwen2.5 Coder', [...FIM, '<|repo_name|>', '<|file_sep|>']),
    '<|repo_name|>workspace\n<|file_sep|>src/a.ts\n<|fim_prefix|>a\n<|fim_suffix|>)\nz<|fim_middle|>f(',
    '<|repo_name|>workspace\n<|file_sep|>b.ts\nlet b\n<|file_sep|>src/a.ts\n<|fim_prefix|>a\n<|fim_suffix|>)\nz<|fim_middle|>f(',
  ],
  [
    'StarCoder2',
    () => family('starcoder2-3b', [...STAR, '<repo_name>', '<file_sep>']),
    '<repo_name>workspace<file_sep><fim_prefix>src/a.ts\na\n<fim_suffix>)\nz<fim_middle>f(',
    '<repo_name>workspace<file_sep>b.ts\nlet b\n<file_sep><fim_prefix>src/a.ts\na\n<fim_suffix>)\nz<fim_middle>f(',
  ],
  [
    'StarCoder and Granite Code',
    () => family('granite-3b-code', [...STAR, '<reponame>', '<filename>']),
    '<fim_prefix>a\n<fim_suffix>)\nz<fim_middle>f(',
    '<reponame>workspace<filename>b.ts\nlet b\n<filename>src/a.ts\n<fim_prefix>a\n<fim_suffix>)\nz<fim_middle>f(',
  ],
  [
    'Granite 4',
    () => family('granite-4.0-micro', [...FIM, '<|reponame|>', '<|filename|>']),
    '<|fim_prefix|>a\n<|fim_suffix|>)\nz<|fim_middle|>f(',
    '<|reponame|>workspace<|filename|>b.ts\nlet b\n<|filename|>src/a.ts\n<|fim_prefix|>a\n<|fim_suffix|>)\nz<|fim_middle|>f(',
  ],
  [
    'Mellum, suffix first',
    () => family('Mellum 4b Base', [...STAR, '<reponame>', '<filename>']),
    '<filename>src/a.ts\n<fim_suffix>)\nz<fim_prefix>a\n<fim_middle>f(',
    '<filename>b.ts\nlet b\n<filename>src/a.ts\n<fim_suffix>)\nz<fim_prefix>a\n<fim_middle>f(',
  ],
  [
    'Seed-Coder, suffix first',
    () => family('Seed-Coder-8B', ['<[fim-prefix]>', '<[fim-suffix]>', '<[fim-middle]>'], { bos: '<bos>' }),
    '<bos><[fim-suffix]>)\nz<[fim-prefix]>a\n<[fim-middle]>f(',
    '<bos><[fim-suffix]>)\nz<[fim-prefix]>#b.ts\nlet b\n\n#src/a.ts\na\n<[fim-middle]>f(',
  ],
  [
    'Codestral, suffix first and without a middle token',
    () => family('Codestral 22B v0.1', ['[PREFIX]', '[SUFFIX]', '[MIDDLE]'], { bos: '<s>' }),
    '<s>[SUFFIX])\nz[PREFIX]a\nf(',
    '<s>[SUFFIX])\nz[PREFIX]+++++ b.ts\nlet b\n\n\n+++++ src/a.ts\na\nf(',
  ],
  [
    'CodeGemma',
    () => family('codegemma-2b', [...FIM, '<|file_separator|>'], { bos: '<bos>' }),
    '<bos><|fim_prefix|>a\n<|fim_suffix|>)\nz<|fim_middle|>f(',
    '<bos>b.ts\nlet b\n<|file_separator|>src/a.ts\n<|fim_prefix|>a\n<|fim_suffix|>)\nz<|fim_middle|>f(',
  ],
  [
    'GLM',
    () => family('GLM-4.5', ['<|code_prefix|>', '<|code_suffix|>', '<|code_middle|>']),
    '<|code_prefix|>a\n<|code_suffix|>)\nz<|code_middle|>f(',
    '<|code_prefix|>#b.ts\nlet b\n\n#src/a.ts\na\n<|code_suffix|>)\nz<|code_middle|>f(',
  ],
  [
    'SantaCoder',
    () => family('santacoder', ['<fim-prefix>', '<fim-suffix>', '<fim-middle>']),
    '<fim-prefix>a\n<fim-suffix>)\nz<fim-middle>f(',
    '<fim-prefix>#b.ts\nlet b\n\n#src/a.ts\na\n<fim-suffix>)\nz<fim-middle>f(',
  ],
]
for (const [name, make, alone, withOther] of FAMILIES) {
  test(`the form of ${name}`, () => {
    const model = make()
    assert.equal(text(model, infillPrompt(model, { ...request, extra: [] }, 512)), alone)
    assert.equal(text(model, infillPrompt(model, { ...request, extra }, 512)), withOther)
    // The marks are tokens, not letters.
    assert.equal(
      infillPrompt(model, { ...request, extra: [] }, 512).filter(token => token === model.fim?.prefix).length,
      1,
    )
    for (const token of model.fim!.ends)
      assert.ok(model.endsGeneration(token), 'going on to another part ends the middle')
  })
}

test('a model without the tokens has no form, and neither has a Mistral model that is no code model', () => {
  assert.equal(family('plain', []).fim, undefined)
  assert.equal(family('Mistral Small', ['[PREFIX]', '[SUFFIX]', '[MIDDLE]'], { bos: '<s>' }).fim, undefined)
})

test('no other file is kept where only the text around the cursor fits, and the far ends of it go first', () => {
  const model = family('Qwen2.5 Coder', [...FIM, '<|repo_name|>', '<|file_sep|>'])
  const long = { ...request, prefix: `start${'p'.repeat(500)}`, suffix: `${'s'.repeat(500)}end`, extra }
  const shown = text(model, infillPrompt(model, long, 200))
  assert.match(shown, /^<\|fim_prefix\|>p+<\|fim_suffix\|>s+<\|fim_middle\|>f\($/)
  assert.ok(shown.lastIndexOf('p') - shown.indexOf('p') > shown.lastIndexOf('s') - shown.indexOf('s'))
})

describe('real vocabularies', needsModels, () => {
  const known = new Map<string, Model>()
  const vocabulary = (name: string): Model => {
    const model = known.get(name) ?? opened(join(testModels()!, 'vocab', `ggml-vocab-${name}.gguf`))
    known.set(name, model)
    return model
  }

  test('DeepSeek-Coder: its own marks behind its beginning of text, other files behind the prefix mark', () => {
    const model = vocabulary('deepseek-coder')
    const [bos] = infillPrompt(model, { ...request, extra: [] }, 512)
    assert.equal(bos, model.bos)
    const shown = (tokens: number[]): string => text(model, tokens.slice(1))
    assert.equal(
      shown(infillPrompt(model, { ...request, extra: [] }, 512)),
      '<｜fim▁begin｜>a\n<｜fim▁hole｜>)\nz<｜fim▁end｜>f(',
    )
    assert.equal(
      shown(infillPrompt(model, { ...request, extra }, 512)),
      '<｜fim▁begin｜>#b.ts\nlet b\n\n#src/a.ts\na\n<｜fim▁hole｜>)\nz<｜fim▁end｜>f(',
    )
  })

  test('StarCoder2: file marks by its own vocabulary', () => {
    const model = vocabulary('starcoder')
    const ids = infillPrompt(model, { ...request, extra: [] }, 512)
    // <fim_prefix> 1, <fim_middle> 2, <fim_suffix> 3, <repo_name> 5, <file_sep> 6 as in the tokenizer of the model.
    assert.deepEqual(
      ids.filter(token => token > 0 && token < 7),
      [5, 6, 1, 3, 2],
    )
  })

  test('a vocabulary that puts a space in front gets none behind the marks', () => {
    const model = vocabulary('llama-spm')
    assert.equal(readFim(model), undefined)
    assert.equal(text(model, [...model.tokenize('x', false, false)]), ' x')
    assert.equal(text(model, model.continuation('x', false)), 'x')
    assert.equal(text(model, model.continuation('  x', false)), '  x')
  })

  const cuts: [typed: string, cut: string][] = [
    ['console.lo', '.lo'],
    ['const total = ', ' '],
    ['    ', '    '],
    ['\t\t', '\t\t'],
    ['if (a &&', ' &&'],
    ['foo(', '('],
    ['return func', ' func'],
    ['tên_biế', '_biế'],
    ['x = "😀', ' "😀'],
    ['let n = 12', ''],
    ['line\n', ''],
  ]
  for (const name of ['deepseek-coder', 'starcoder', 'llama-spm', 'llama-bpe']) {
    for (const [typed, cut] of cuts) {
      test(`${name}: ${JSON.stringify(typed)} is cut back by about ${JSON.stringify(cut)}, and its bytes are kept`, () => {
        const model = vocabulary(name)
        const tokens = [model.bos, ...model.continuation(`x${typed}`, false)]
        const healed = cutBack(model, tokens)
        const whole = healed.tokens.slice(1).map(token => model.piece(token, false))
        assert.equal(Buffer.concat([...whole, healed.cut.bytes]).toString('utf8'), `x${typed}`)
        assert.ok(tokens.length - healed.tokens.length <= 6)
        assert.deepEqual(healed.tokens, tokens.slice(0, healed.tokens.length))
        // A vocabulary may join more or less than most do.
        const found = healed.cut.bytes.toString('utf8')
        assert.equal(found === '', cut === '')
        assert.ok(found.endsWith(cut) || cut.endsWith(found), JSON.stringify(found))
      })
    }
  }

  test('what was cut off is written again by the likeliest token that agrees', () => {
    const model = vocabulary('deepseek-coder')
    const id = (piece: string): number => {
      const [token, ...more] = model.continuation(piece, false)
      assert.equal(more.length, 0, piece)
      return token!
    }
    const logits = new Float32Array(model.vocabularySize)
    const [other, whole, part] = [id(' return'), id(' function'), id(' fun')]
    logits[other] = 9
    logits[whole] = 5
    logits[part] = 4
    const cut = (text: string) => ({ bytes: Buffer.from(text), told: model.continuation(text, false) })
    const rest = cut(' func')
    assert.equal(agreeing(model, logits, rest), whole)
    logits[part] = 6
    assert.equal(agreeing(model, logits, rest), part)
    // The rest of it, when a part was taken.
    logits[id('ction')] = 3
    assert.equal(agreeing(model, logits, afterToken(model, { ...cut(' func'), told: [1] }, part)), id('ction'))
    // Nothing likely agrees: it is written as it was typed.
    const far = new Float32Array(model.vocabularySize).fill(-100)
    for (let token = 0; token < 600; token++) far[5000 + token] = 1
    const told = agreeing(model, far, cut(' zq'))
    assert.ok(told !== undefined && ' zq'.startsWith(model.piece(told, false).toString('utf8')))
  })
})
