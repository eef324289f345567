/** Checkpoints: exact, whole or refused, and only for the run they belong to. */
import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { HubError } from '../../server/lib/error.ts'
import {
  checkIdentity,
  type Identity,
  readCheckpoint,
  restore,
  writeCheckpoint,
} from '../../server/trainer/checkpoint.ts'
import { START } from '../../server/trainer/loop.ts'
import { linearModel } from '../helpers/linear_trainer.ts'

const folder = mkdtempSync(join(tmpdir(), 'trainer-checkpoint-'))
after(() => rmSync(folder, { recursive: true, force: true }))
const path = join(folder, 'run.checkpoint')

const identity: Identity = {
  baseSha256: 'a',
  tokensSha256: 'b',
  validationSha256: null,
  continuedSha256: null,
  settings: { rate: 0.1, mode: { type: 'lora', rank: 4 } },
}
const fitted = { buckets: [8, 16], checkpoint: true }
const place = { ...START, step: 7, epoch: 1, stepInEpoch: 2, best: { step: 4, loss: 1.5 } }
const model = linearModel({ vocabularySize: 5, contextLength: 8, seed: 1 })
const { parameters } = model
const [name] = parameters.names as [string]
parameters.setMoments(name, Float32Array.from({ length: 25 }, Math.sqrt), new Float32Array(25).fill(2))
parameters.stepCount = 6
const best = new Map([[name, new Float32Array(25).fill(0.5)]])
const refused = (message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof HubError, String(error))
  assert.match(error.message, message)
  return true
}

test('everything of a run is read back to the last bit', () => {
  writeCheckpoint(path, { identity, place, fitted, best }, parameters)
  const read = readCheckpoint(path)
  assert.deepEqual(read, {
    identity,
    place,
    fitted,
    stepCount: 6,
    tensors: new Map([[name, { value: parameters.get(name), ...parameters.moments(name) }]]),
    best,
  })
  const other = linearModel({ vocabularySize: 5, contextLength: 8, seed: 2 }).parameters
  restore(path, read, other)
  assert.deepEqual(other.get(name), parameters.get(name))
  assert.deepEqual(other.moments(name), parameters.moments(name))
  assert.equal(other.stepCount, 6)
  const larger = linearModel({ vocabularySize: 6, contextLength: 8, seed: 2 }).parameters
  assert.throws(() => restore(path, read, larger), refused(/has other tensors than the model/))
})

test('a checkpoint that is damaged or cut anywhere is refused', () => {
  writeCheckpoint(path, { identity, place, fitted, best: null }, parameters)
  const good = readFileSync(path)
  for (let at = 0; at < good.length; at += 13) {
    const bytes = Buffer.from(good)
    bytes[at]! ^= 1
    writeFileSync(path, bytes)
    assert.throws(() => readCheckpoint(path), refused(/checkpoint/), `byte ${at}`)
    writeFileSync(path, good.subarray(0, at))
    assert.throws(() => readCheckpoint(path), refused(/truncated/), `cut at ${at}`)
  }
  writeFileSync(path, good)
  readCheckpoint(path)
})

test('a checkpoint of another run is refused with all that differs', () => {
  const check = (changed: Partial<Identity>) => () => checkIdentity(path, identity, { ...identity, ...changed })
  check({})()
  assert.throws(check({ baseSha256: 'x' }), refused(/run.checkpoint is of another run: the base model differ/))
  assert.throws(
    check({ tokensSha256: 'x', validationSha256: 'y' }),
    refused(/the token file, the validation file differ/),
  )
  assert.throws(check({ continuedSha256: 'x' }), refused(/the adapter to continue from/))
  assert.throws(check({ settings: { ...identity.settings, rate: 0.2 } }), refused(/rate \(0.1 then, 0.2 now\)/))
  assert.throws(check({ settings: { mode: identity.settings.mode } }), refused(/rate \(0.1 then, none now\)/))
})

test('a full disk is told, and the last good checkpoint stands', { skip: !existsSync('/dev/full') }, () => {
  writeCheckpoint(path, { identity, place, fitted, best: null }, parameters)
  const good = readFileSync(path)
  // The file beside it, into which the next one is written, leads to a disk without room.
  symlinkSync('/dev/full', `${path}.part`)
  const write = () => writeCheckpoint(path, { identity, place: { ...place, step: 8 }, fitted, best: null }, parameters)
  assert.throws(write, refused(/the disk of .* is full, so run.checkpoint was not written/))
  assert.deepEqual(readFileSync(path), good)
  assert.equal(existsSync(`${path}.part`), false)
  write()
  assert.equal(readCheckpoint(path).place.step, 8)
})

test('a folder that is a file is told', () => {
  writeFileSync(join(folder, 'file'), '')
  const write = () => writeCheckpoint(join(folder, 'file', 'x'), { identity, place, fitted, best: null }, parameters)
  assert.throws(write, refused(/ENOTDIR|ENOENT|EEXIST/))
})
