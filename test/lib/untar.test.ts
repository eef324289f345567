/** Archives of npm: what is wanted comes out byte for byte; what is none, is cut off or leads out of the folder is refused. */
import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { gunzipSync, gzipSync } from 'node:zlib'
import { HubError } from '../../server/lib/error.ts'
import { untar } from '../../server/lib/untar.ts'
import { makeArchive } from '../helpers/npm_registry.ts'

const { signal } = new AbortController()
const everything = (): boolean => true

function folder(context: TestContext): (archive: Buffer) => { file: string; into: string } {
  const place = mkdtempSync(join(tmpdir(), 'untar-'))
  context.after(() => rmSync(place, { recursive: true, force: true }))
  return archive => {
    const file = join(place, 'a.tgz')
    writeFileSync(file, archive)
    return { file, into: join(place, 'out') }
  }
}

const refused = (words: RegExp) => (error: unknown) =>
  error instanceof HubError && error.code === 'unusable_answer' && words.test(error.message)

test('files come out as they were put in: empty, of one block, larger than what is read at once, with a long path', async context => {
  const large = Buffer.alloc(300_001, 'x\u1ec7')
  const long = `bins/${'d'.repeat(120)}/lib.so`
  const { file, into } = folder(context)(
    makeArchive({ empty: '', block: Buffer.alloc(512, 'b'), [long]: large, 'a/b.txt': 'đường' }),
  )
  await untar(file, into, everything, signal)
  assert.deepEqual(readFileSync(join(into, ...long.split('/'))), large)
  assert.equal(readFileSync(join(into, 'block'), 'utf8'), 'b'.repeat(512))
  assert.equal(readFileSync(join(into, 'empty'), 'utf8'), '')
  assert.equal(readFileSync(join(into, 'a', 'b.txt'), 'utf8'), 'đường')
})

test('only what is wanted is written', async context => {
  const { file, into } = folder(context)(makeArchive({ 'bins/a': 'a', 'dist/b': 'b', c: 'c' }))
  await untar(file, into, path => path.startsWith('bins/'), signal)
  assert.deepEqual(readdirSync(into), ['bins'])
})

test('a path out of the folder is refused, and nothing is written there', async context => {
  const { file, into } = folder(context)(makeArchive({ '../../outside': 'x' }))
  await assert.rejects(untar(file, into, everything, signal), refused(/leads out of it/))
  assert.ok(!existsSync(join(into, '..', 'outside')))
})

test('what is cut off, no tar or not gzipped is refused by name', async context => {
  const archive = makeArchive({ a: Buffer.alloc(5000, 'a') })
  const place = folder(context)
  const attempts: [Buffer, RegExp][] = [
    [gzipSync(gunzipSync(archive).subarray(0, 3000)), /a\.tgz is cut off/],
    [archive.subarray(0, archive.length - 10), /cannot be unpacked/],
    [gzipSync(Buffer.alloc(600, 'n')), /is not a tar archive/],
    [Buffer.from('plain'), /cannot be unpacked/],
  ]
  for (const [bytes, words] of attempts) {
    const { file, into } = place(bytes)
    await assert.rejects(untar(file, into, everything, signal), refused(words))
  }
})
