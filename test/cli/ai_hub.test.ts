/** The `ai-hub` command runs main.ts with the arguments it was given and ends as main.ts ends. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { test } from 'node:test'

const SCRIPT = resolve(import.meta.dirname, '..', '..', 'server', 'ai_hub.mjs')

test('arguments, output and exit code pass through', t => {
  const folder = mkdtempSync(join(tmpdir(), 'ai-hub-bin-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  mkdirSync(join(folder, 'server'))
  cpSync(SCRIPT, join(folder, 'server', 'ai_hub.mjs'))
  writeFileSync(
    join(folder, 'server', 'main.ts'),
    'const args: string[] = process.argv.slice(2); console.log(JSON.stringify(args)); process.exitCode = 7\n',
  )
  const { status, stdout } = spawnSync(
    process.execPath,
    [join(folder, 'server', 'ai_hub.mjs'), 'chat', '--model', 'a b', 'Why?'],
    { encoding: 'utf8' },
  )
  assert.deepEqual(JSON.parse(stdout), ['chat', '--model', 'a b', 'Why?'])
  assert.equal(status, 7)
})
