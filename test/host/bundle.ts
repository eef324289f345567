/** Builds what the tests in VS Code load: the extension of this repository, and the suite for the extension host. */
import { join } from 'node:path'
import { build } from 'esbuild'
import { BUNDLE } from '../../extension/build.ts'

export async function bundleExtension(): Promise<void> {
  await build(BUNDLE)
}

/** @returns the suite as one CommonJS file, which is what VS Code loads; it has to end in .js outside this module package */
export async function bundleSuite(folder: string): Promise<string> {
  const outfile = join(folder, 'suite.js')
  await build({
    entryPoints: [join(import.meta.dirname, 'inhost.ts')],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'cjs',
    external: ['vscode'],
  })
  return outfile
}
