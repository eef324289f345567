/** The suite in the extension host of a real VS Code, with a hub that the extension starts itself. */
import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { bundleSuite } from './bundle.ts'
import { lastFirst, startEditor } from './editor.ts'
import { makeHome, SCRIPTED } from './home.ts'
import { needHost } from './install.ts'
import { REPORT, type Report } from './report.ts'

const { host, options } = await needHost()
const SUITE_MS = 240_000

test('the suite in the extension host', options, async context => {
  const closing = lastFirst(context)
  const folder = mkdtempSync(join(tmpdir(), 'vscode-suite-'))
  closing.after(() => rmSync(folder, { recursive: true, force: true }))
  const suite = await bundleSuite(folder)
  const home = makeHome(closing)
  const reportFile = join(folder, 'report.json')
  const editor = await startEditor(closing, {
    host: host!,
    extension: 'suite',
    env: { ...home.env, [REPORT]: reportFile },
    settings: { 'aiHub.chat.model': SCRIPTED },
  })
  const code = await editor.runSuite(suite, SUITE_MS)
  assert.ok(existsSync(reportFile), `the suite did not begin (${code}):\n${editor.log()}`)
  const report = JSON.parse(readFileSync(reportFile, 'utf8')) as Report
  context.diagnostic(`${report.host}; activated in ${report.activationMs} ms`)
  for (const { name, ms, error } of report.outcomes) {
    await context.test(name, inner => {
      inner.diagnostic(`${ms} ms`)
      if (error !== undefined) assert.fail(error)
    })
  }
  assert.equal(code, 0)
  assert.deepEqual([...editor.outside], [])
})
