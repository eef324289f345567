/** Builds what the tests in VS Code load: the extension of this repository in a folder of its own, and the suite for the extension host. */
import { cpSync, mkdirSync, symlinkSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { build } from 'esbuild'
import { BUNDLE } from '../../extension/build.ts'
import { buildPages } from '../../webview/build.ts'

export const ROOT = resolve(import.meta.dirname, '..', '..')

/** The extension as if it had been installed: what VS Code reads is built and copied, what the hub runs on is linked. */
export async function layOutExtension(folder: string): Promise<void> {
  mkdirSync(folder, { recursive: true })
  await build({ ...BUNDLE, outfile: join(folder, 'dist', 'extension.cjs') })
  await buildPages(join(folder, 'dist', 'webview'))
  for (const name of ['package.json', 'package.nls.json', 'package.nls.vi.json', 'l10n', 'media']) {
    cpSync(join(ROOT, name), join(folder, name), { recursive: true })
  }
  // Of all kinds of links to folders, Windows lets everyone make junctions only.
  for (const name of ['server', 'node_modules']) symlinkSync(join(ROOT, name), join(folder, name), 'junction')
}

/** @returns the suite as one CommonJS file, which is what VS Code loads; it has to end in .js outside this module package */
export async function bundleSuite(
  folder: string,
  entry: string = join(import.meta.dirname, 'inhost.ts'),
): Promise<string> {
  const outfile = join(folder, 'suite.js')
  await build({
    entryPoints: [entry],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'cjs',
    external: ['vscode'],
  })
  return outfile
}
