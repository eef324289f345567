/** What goes into a package, and what is said when it cannot be made. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'
import { isNeeded } from '../../extension/package.ts'

const SCRIPT = join(import.meta.dirname, '..', '..', 'extension', 'package.ts')
const LINUX = { os: 'linux', cpu: 'x64' }

function run(target: string): { status: number | null; stderr: string } {
  return spawnSync(process.execPath, [SCRIPT, '--target', target], { encoding: 'utf8' })
}

test('of packages only what runs is taken', () => {
  const taken: { [path: string]: boolean } = {
    'better-sqlite3 lib/index.js': true,
    'better-sqlite3 prebuilds/linux-x64.node': true,
    'better-sqlite3 prebuilds/win32-x64.node': false,
    'better-sqlite3 prebuilds/linuxmusl-x64.node': false,
    'better-sqlite3 deps': false,
    'koffi src/koffi/index.js': true,
    'koffi src/koffi/src/call.cc': false,
    'express LICENSE': true,
    'express LICENSE.md': true,
    'express Readme.md': false,
    'express lib/express.js': true,
    'qs test': false,
    'zod index.d.ts': false,
    'zod v4/core/core.js.map': false,
    'linux-x64 bins/linux-x64/libllama.so': true,
    'linux-x64 bins/linux-x64/llama-addon.node': false,
    'linux-x64 bins/linux-x64/libllama-common.so': false,
    'win-x64 bins/win-x64/llama-common.dll': false,
    'koffi-linux-x64 linux_x64': true,
    'koffi-linux-x64 musl_x64': false,
    'swagger-ui-dist swagger-ui-bundle.js': true,
    'swagger-ui-dist swagger-ui-es-bundle-core.js': false,
  }
  for (const [row, expected] of Object.entries(taken)) {
    const [name = '', path = ''] = row.split(' ')
    assert.equal(isNeeded(name, path, LINUX), expected, row)
  }
})

test('an unknown target is answered with those that there are', () => {
  const { status, stderr } = run('amiga-68k')
  assert.equal(status, 1)
  assert.match(stderr, /no target amiga-68k; there are linux-x64, win32-x64, darwin-arm64/)
})

// On this system the packages of another one are not installed.
const foreign = process.platform === 'win32' ? 'darwin-arm64' : 'win32-x64'
test('for another system it says what is missing and the command that brings it', () => {
  const { status, stderr } = run(foreign)
  assert.equal(status, 1)
  assert.match(stderr, /@node-llama-cpp\/\w+-[\w-]+@\d+\.\d+/)
  assert.match(stderr, new RegExp(`npm ci --os=${foreign.split('-')[0]} --cpu=${foreign.split('-')[1]}`))
  assert.match(stderr, new RegExp(`--target ${foreign} --fetch`))
})
