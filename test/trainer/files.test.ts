/** Writing files whole: what fails is said of the file or of its source, whichever it was. */
import assert from 'node:assert/strict'
import fs, { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { HubError } from '../../server/lib/error.ts'
import { isSameFile, removeFile, writeAtomically } from '../../server/trainer/files.ts'

const folder = mkdtempSync(join(tmpdir(), 'trainer-files-'))
after(() => rmSync(folder, { recursive: true, force: true }))
const path = join(folder, 'deep', 'file.bin')

/** Runs with some functions of node:fs replaced. */
function withFs(changes: Partial<typeof fs>, work: () => void): void {
  const before = Object.fromEntries(Object.keys(changes).map(name => [name, fs[name as keyof typeof fs]]))
  Object.assign(fs, changes)
  syncBuiltinESMExports()
  try {
    work()
  } finally {
    Object.assign(fs, before)
    syncBuiltinESMExports()
  }
}
const failure = (code: string) => Object.assign(new Error(code), { code })

test('what the source of the bytes throws comes through as it is, and the file of before stands', () => {
  writeAtomically(path, [Buffer.from('before')])
  for (const thrown of [new HubError('model_broken', 'the base is truncated'), failure('EIO')]) {
    function* source() {
      yield Buffer.from('half')
      throw thrown
    }
    assert.throws(
      () => writeAtomically(path, source()),
      error => error === thrown,
    )
    assert.equal(readFileSync(path, 'utf8'), 'before')
    assert.equal(existsSync(`${path}.part`), false)
  }
})

test('a folder that cannot be flushed or opened fails no write that succeeded', () => {
  for (const code of ['EINVAL', 'EACCES', 'EPERM']) {
    const flush = fs.fsyncSync
    const fsyncSync = (file: number) => {
      if (fs.fstatSync(file).isDirectory()) throw failure(code)
      flush(file)
    }
    withFs({ fsyncSync }, () => writeAtomically(path, [Buffer.from(`flush ${code}`)]))
    assert.equal(readFileSync(path, 'utf8'), `flush ${code}`)
    const open = fs.openSync
    const openSync = ((file: string, ...rest: [string]) => {
      if (statSync(file, { throwIfNoEntry: false })?.isDirectory()) throw failure(code)
      return open(file, ...rest)
    }) as typeof fs.openSync
    withFs({ openSync }, () => writeAtomically(path, [Buffer.from(`open ${code}`)]))
    assert.equal(readFileSync(path, 'utf8'), `open ${code}`)
  }
})

test('a disk that loses the folder is told', () => {
  const flush = fs.fsyncSync
  const fsyncSync = (file: number) => {
    if (fs.fstatSync(file).isDirectory()) throw failure('EIO')
    flush(file)
  }
  withFs({ fsyncSync }, () =>
    assert.throws(() => writeAtomically(path, [Buffer.from('x')]), /file.bin cannot be written in .*\(EIO\)/),
  )
})

test('on Windows a file that is held open for a moment is replaced and removed all the same', () => {
  const { platform } = process
  Object.defineProperty(process, 'platform', { value: 'win32' })
  try {
    let held = 2
    const hold = <T extends unknown[]>(work: (...args: T) => void) =>
      ((...args: T) => {
        if (held-- > 0) throw failure('EPERM')
        work(...args)
      }) as never
    withFs({ renameSync: hold(fs.renameSync) }, () => writeAtomically(path, [Buffer.from('new')]))
    assert.equal(readFileSync(path, 'utf8'), 'new')
    held = 2
    withFs({ rmSync: hold(fs.rmSync) }, () => removeFile(path))
    assert.equal(existsSync(path), false)
    removeFile(path)
  } finally {
    Object.defineProperty(process, 'platform', { value: platform })
  }
})

test('a folder is never removed in the place of a file', () => {
  assert.throws(() => removeFile(folder))
  assert.ok(existsSync(folder))
})

test('two paths are one file by the rules of the system', () => {
  const [a, b] = [join(folder, 'new', 'Model.gguf'), join(folder, 'new', '..', 'new', 'model.GGUF')]
  for (const platform of ['win32', 'darwin']) assert.ok(isSameFile(a, b, platform))
  assert.equal(isSameFile(a, b, 'linux'), false)
  assert.ok(isSameFile(a, join(folder, '.', 'new', 'Model.gguf'), 'linux'))
})
