/** Bundles the pages into dist/webview: `npm run build:webview`. The hub runs it at the first visit of a page that is not built or older than its sources. */
import { readdirSync, rmSync } from 'node:fs'
import { basename, join } from 'node:path'
import { type BuildOptions, build } from 'esbuild'

const ROOT = join(import.meta.dirname, '..')

export const BUNDLE: BuildOptions & { outdir: string } = {
  absWorkingDir: ROOT,
  entryPoints: { chat: 'webview/chat/main.tsx', dashboard: 'webview/dashboard/main.tsx', icon: 'webview/icon.svg' },
  outdir: 'dist/webview',
  bundle: true,
  // What a page may never need is a file of its own, read when it is needed: mathematics, colours of code.
  splitting: true,
  format: 'esm',
  platform: 'browser',
  target: ['chrome120', 'firefox121', 'safari17'],
  jsx: 'automatic',
  define: { 'process.env.NODE_ENV': '"production"' },
  loader: { '.svg': 'copy' },
  chunkNames: '[name]-[hash]',
  minify: true,
  legalComments: 'linked',
  logLevel: 'warning',
}

/** Builds, and removes what an earlier build left. @returns bytes of each file */
export async function buildPages(outdir: string = join(ROOT, BUNDLE.outdir)): Promise<{ [file: string]: number }> {
  const { metafile } = await build({ ...BUNDLE, outdir, metafile: true })
  const made = Object.fromEntries(
    Object.entries(metafile.outputs).map(([path, { bytes }]) => [basename(path), bytes] as const),
  )
  for (const name of readdirSync(outdir)) if (!(name in made)) rmSync(join(outdir, name), { force: true })
  return made
}

if (import.meta.main) await buildPages()
