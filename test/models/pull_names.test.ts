/** What people write to get a model: understood in every form, or refused in words; and whatever a server calls its files stays a plain name. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { HubError } from '../../server/lib/error.ts'
import { folderByName, isUnsafePath, parsePullName, safeFileName, tellSource } from '../../server/models/pull_name.ts'

const HUB = 'https://huggingface.co'
const repo = { kind: 'repo', owner: 'Qwen', repo: 'Qwen3-4B-GGUF', revision: 'main' }

test('a repository, in the forms of other programs', () => {
  for (const text of [
    'Qwen/Qwen3-4B-GGUF',
    ' Qwen/Qwen3-4B-GGUF ',
    'hf:Qwen/Qwen3-4B-GGUF',
    'hf://Qwen/Qwen3-4B-GGUF',
    'hf.co/Qwen/Qwen3-4B-GGUF',
    'huggingface.co/Qwen/Qwen3-4B-GGUF/',
    'https://huggingface.co/Qwen/Qwen3-4B-GGUF',
    'https://hf.co/Qwen/Qwen3-4B-GGUF/tree/main',
    'Qwen/Qwen3-4B-GGUF:latest',
  ]) {
    assert.deepEqual(parsePullName(text, HUB), repo, text)
  }
  assert.deepEqual(parsePullName('hf:Qwen/Qwen3-4B-GGUF:Q8_0', HUB), { ...repo, quant: 'Q8_0' })
  assert.deepEqual(parsePullName('Qwen/Qwen3-4B-GGUF/sub/a.gguf', HUB), { ...repo, path: 'sub/a.gguf' })
  for (const view of ['resolve', 'blob', 'raw']) {
    assert.deepEqual(
      parsePullName(`https://huggingface.co/Qwen/Qwen3-4B-GGUF/${view}/v1/a%20b.gguf?download=true`, HUB),
      {
        ...repo,
        revision: 'v1',
        path: 'a b.gguf',
      },
    )
  }
  // Another server that speaks like it is known by its own address, a path before it included.
  assert.deepEqual(parsePullName('http://127.0.0.1:9/hub/Qwen/Qwen3-4B-GGUF', 'http://127.0.0.1:9/hub'), repo)
})

test('the address of any other file', () => {
  const url = 'https://example.org/models/a.GGUF?signature=1'
  assert.deepEqual(parsePullName(`${url}#part`, HUB), { kind: 'url', url })
})

test('what is no name is refused with an example or the reason', () => {
  const wrong: [string, RegExp][] = [
    ['llama3', /two parts, as Qwen\//],
    ['', /two parts/],
    ['a/b/c.txt', /no \.gguf file/],
    ['a/b:', /no quantisation/],
    ['a/b:Q4 0', /no quantisation/],
    ['a/../b', /no name there/],
    ['a/b/../c.gguf', /no \.gguf file of a repository/],
    ['a/b/resolve/../../x.gguf', /revision/],
    ['-a/b', /no name there/],
    ['./model.gguf', /copy it into local_models/],
    ['C:\\models\\a.gguf', /copy it into local_models/],
    ['/home/me/a.gguf', /copy it into local_models/],
    ['ftp://example.org/a.gguf', /use https/],
    ['file:///etc/a.gguf', /use https/],
    ['https://example.org/', /not the address of a \.gguf/],
    ['https://me:secret@example.org/a.gguf', /user name or password/],
    ['https://', /not a whole address/],
  ]
  for (const [text, expected] of wrong) {
    assert.throws(
      () => parsePullName(text, HUB),
      (thrown: unknown) => {
        assert.ok(thrown instanceof HubError)
        assert.equal(thrown.code, 'invalid_request', text)
        assert.match(thrown.message, expected, text)
        return true
      },
    )
  }
})

test('any text is a place or a clear refusal; a place said again is the same', () => {
  const piece = fc.constantFrom(
    'hf:',
    'https://',
    'hf.co/',
    'a',
    'Qwen',
    '/',
    '..',
    ':',
    'Q4_K_M',
    '.gguf',
    '%2e%2e',
    '\\',
    '\0',
    ' ',
    '@',
    '?',
    '#',
    'é',
    '💥',
  )
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.array(piece, { maxLength: 12 }).map(pieces => pieces.join('')),
  )
  fc.assert(
    fc.property(text, written => {
      let source: ReturnType<typeof parsePullName>
      try {
        source = parsePullName(written, HUB)
      } catch (thrown) {
        assert.ok(thrown instanceof HubError && thrown.code === 'invalid_request', String(thrown))
        return
      }
      assert.deepEqual(parsePullName(tellSource(source), HUB), source)
      if (source.kind === 'url') return
      assert.match(`${source.owner}/${source.repo}`, /^[\w.-]+\/[\w.-]+$/)
      assert.ok(source.path === undefined || !isUnsafePath(source.path))
    }),
    { seed: 7, numRuns: 20_000 },
  )
})

test('a file name from a server is a plain one that every system takes', () => {
  assert.equal(safeFileName('Q4/qwen3-4b-q4_k_m.gguf'), 'qwen3-4b-q4_k_m.gguf')
  assert.equal(safeFileName('../../etc/passwd'), 'passwd.gguf')
  assert.equal(safeFileName('..\\..\\boot.gguf'), 'boot.gguf')
  assert.equal(safeFileName('CON.gguf'), '_CON.gguf')
  assert.equal(safeFileName('com1.tar.gguf'), '_com1.tar.gguf')
  assert.equal(safeFileName('a<b>:"c|d?e*.GGUF'), 'a_b___c_d_e_.gguf')
  assert.equal(safeFileName('.hidden. .gguf'), 'hidden.gguf')
  assert.equal(safeFileName('..'), 'model.gguf')
  const long = safeFileName(`${'x'.repeat(400)}-00002-of-00003.gguf`)
  assert.match(long, /^x+-00002-of-00003\.gguf$/)
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 300 }), path => {
      const name = safeFileName(path)
      assert.ok(name.length <= 180 && name.endsWith('.gguf') && name.isWellFormed())
      assert.doesNotMatch(name, /[\p{Cc}<>:"|?*\\/]|^[.\s]|[.\s]\.gguf$/u)
      assert.equal(safeFileName(name), name)
    }),
    { seed: 7, numRuns: 5000 },
  )
})

test('the folder that a name speaks of', () => {
  const folders = {
    'Qwen2.5-Coder-1.5B-Q8_0-GGUF': 'code_models',
    'starcoder2-3b': 'code_models',
    'codestral-22b': 'code_models',
    'Qwen3-4B-GGUF': 'chat_models',
    'gemma-3-4b-it': 'chat_models',
    'nomic-embed-text-v1.5': 'custom_models',
    'bge-m3': 'custom_models',
    'vinallama-7b-chat': 'vietnamese_models',
    'PhoGPT-4B-Chat': 'vietnamese_models',
  }
  for (const [name, folder] of Object.entries(folders)) assert.equal(folderByName(name), folder, name)
})
