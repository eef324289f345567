/** The documents: every picture and file that they name is there, and the pictures stay small. */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'

const DOCS = join(import.meta.dirname, '..', 'docs')

test('every link of a document leads to a file, and every picture is shown', () => {
  const shown = new Set<string>()
  for (const name of readdirSync(DOCS).filter(name => name.endsWith('.md'))) {
    for (const [, target = ''] of readFileSync(join(DOCS, name), 'utf8').matchAll(/\]\((?!https?:|#)([^)#]+)/g)) {
      assert.ok(existsSync(join(DOCS, target)), `${name} names ${target}`)
      shown.add(target)
    }
  }
  const pictures = readdirSync(join(DOCS, 'pictures'))
  assert.deepEqual(
    pictures.filter(name => !shown.has(`pictures/${name}`)),
    [],
  )
})

test('a clone does not grow by its pictures', () => {
  const folder = join(DOCS, 'pictures')
  const sizes = readdirSync(folder).map(name => statSync(join(folder, name)).size)
  assert.ok(Math.max(...sizes) < 150_000)
  assert.ok(sizes.reduce((sum, bytes) => sum + bytes, 0) < 2_000_000)
})
