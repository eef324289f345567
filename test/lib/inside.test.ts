/** Paths that stay inside a folder, and all the ways out of it. */
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, test } from 'node:test'
import { insideFolder } from '../../server/lib/inside.ts'

const root = mkdtempSync(join(tmpdir(), 'hub-inside-'))
const folder = join(root, 'home')
mkdirSync(join(folder, 'data'), { recursive: true })
mkdirSync(join(root, 'home-beside'))
writeFileSync(join(folder, 'data', '..x.jsonl'), 'x')
after(() => rmSync(root, { recursive: true, force: true }))
const real = realpathSync(folder)

test('what lies inside is given back with its real path, whether it exists or not', () => {
  for (const path of ['data', 'data/..x.jsonl', join(folder, 'data'), 'new/deep/file', '.', 'data/../data']) {
    assert.equal(insideFolder(folder, path, 'p'), resolve(real, path.replace(folder, real)))
  }
})

test('what leads outside is refused', () => {
  for (const path of ['..', '../home-beside', join(root, 'home-beside'), resolve('/'), 'data/../../x', 'a\0b']) {
    assert.throws(() => insideFolder(folder, path, 'p'), { code: 'invalid_request', param: 'p' }, path)
  }
})

test('links count as what they point to', { skip: process.platform === 'win32' && 'links need rights there' }, () => {
  symlinkSync(root, join(folder, 'out'))
  symlinkSync(join(folder, 'data'), join(folder, 'in'))
  assert.throws(() => insideFolder(folder, 'out/file', 'p'), { code: 'invalid_request' })
  assert.throws(() => insideFolder(folder, 'out/home-beside/new', 'p'), { code: 'invalid_request' })
  assert.equal(insideFolder(folder, 'in/x', 'p'), join(real, 'data', 'x'))
})
