/** Bundles the extension into dist/extension.cjs: `npm run build`, `npm run build -- --watch`. */
import { join } from 'node:path'
import { type BuildOptions, build, context } from 'esbuild'

const ROOT = join(import.meta.dirname, '..')

/** One file, since the many modules of the language client would be read one by one at every start of the editor. */
export const BUNDLE: BuildOptions = {
  absWorkingDir: ROOT,
  entryPoints: ['extension/main.ts'],
  outfile: 'dist/extension.cjs',
  bundle: true,
  platform: 'node',
  format: 'cjs',
  // The oldest editor that `engines` names runs Node 20.
  target: 'node20',
  // The two packages are optional parts of ws, which does without them.
  external: ['vscode', 'bufferutil', 'utf-8-validate'],
  sourcemap: true,
  minify: true,
  logLevel: 'warning',
}

if (import.meta.main) {
  if (process.argv.includes('--watch')) await (await context(BUNDLE)).watch()
  else await build(BUNDLE)
}
