/** A base is known to be another file than the one that an adapter was made for, without reading it twice. */
import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { silentLog } from '../../server/lib/log.ts'
import { createBaseCheck } from '../../server/models/adapter_base.ts'
import { type Adapter, adapterAt, publishAdapter } from '../../server/models/adapters.ts'
import type { ModelFile } from '../../server/wire/model.ts'
import { temporary } from '../helpers/family_models.ts'
import { makeModel, TINY } from '../helpers/gguf_file.ts'
import { writeRandomAdapter } from '../helpers/random_adapter.ts'

test('another file in the place of the base is told of, the right one is read once for ever', async t => {
  const home = temporary('base')
  t.after(() => rmSync(home, { recursive: true, force: true, maxRetries: 5 }))
  const path = join(home, 'base.gguf')
  makeModel(path, TINY)
  const file = join(home, 'new.gguf')
  writeRandomAdapter(file, path, { seed: 1 })
  publishAdapter(home, { base: 'base', name: 'style', file, card: { base_sha256: 'right' } })
  const adapter = (): Adapter => adapterAt(home, 'base', 'style')
  const base = (modified: number) => ({ id: 'base', files: [path], bytes: 9, modified_ms: modified }) as ModelFile

  const read: string[] = []
  const open = (answer: string) => {
    const sha256 = async (asked: string) => {
      read.push(asked)
      return answer
    }
    return createBaseCheck({ home, log: silentLog, sha256 })
  }

  const swapped = open('wrong')
  assert.equal(swapped.note(adapter(), base(1)), undefined)
  swapped.begin(adapter(), base(1))
  swapped.begin(adapter(), base(1))
  await swapped.close()
  assert.match(swapped.note(adapter(), base(1)) ?? '', /another file than the base that is there/)
  assert.equal(swapped.note(adapter(), base(2)), undefined)
  assert.equal(read.length, 1)

  const right = open('right')
  right.begin(adapter(), base(1))
  await right.close()
  assert.equal(right.note(adapter(), base(1)), undefined)
  assert.equal(adapter().card.base_modified_ms, 1)
  assert.equal(read.length, 2)

  const later = open('wrong')
  later.begin(adapter(), base(1))
  later.begin({ ...adapter(), card: {} }, base(1))
  await later.close()
  assert.equal(read.length, 2)
})
