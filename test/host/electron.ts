/** Runs the suite in a desktop VS Code, which is downloaded: `node test/host/electron.ts [VERSION]`, for a machine with a screen and a way out. Not part of the tests. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runTests } from '@vscode/test-electron'
import { bundleSuite, layOutExtension } from './bundle.ts'
import { lastFirst } from './editor.ts'
import { makeHome, SCRIPTED } from './home.ts'
import { REPORT } from './report.ts'

const closers: (() => void | Promise<void>)[] = []
const closing = lastFirst({ after: close => void closers.push(close) })
const folder = mkdtempSync(join(tmpdir(), 'vscode-suite-'))
closing.after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 10 }))
try {
  const [version] = process.argv.slice(2)
  const home = makeHome(closing)
  const workspace = join(folder, 'workspace')
  mkdirSync(join(workspace, '.vscode'), { recursive: true })
  writeFileSync(join(workspace, '.vscode', 'settings.json'), JSON.stringify({ 'aiHub.chat.model': SCRIPTED }))
  const extension = join(folder, 'extension')
  await layOutExtension(extension)
  process.exitCode = await runTests({
    ...(version !== undefined && { version }),
    extensionDevelopmentPath: extension,
    extensionTestsPath: await bundleSuite(folder),
    extensionTestsEnv: { ...home.env, [REPORT]: join(folder, 'report.json') },
    launchArgs: [workspace, '--disable-extensions', '--disable-workspace-trust'],
  })
} finally {
  for (const close of closers) await close()
}
