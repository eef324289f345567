/** The pages at / and /dashboard and their files under /pages, built from webview/ when they are older than it. */
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Express, Response } from 'express'
import { HubError } from '../lib/error.ts'
import type { Log } from '../lib/log.ts'

export type PagesDeps = {
  /** What is served: chat.js, chat.css, dashboard.js and so on, and the files that they load. */
  folder: string
  /** Folder of the sources; a packaged product has none, and serves what it carries. */
  sources: string
  log: Log
}

/** The pages by address, each a script and a style sheet of its name. */
const PAGES = { '/': 'chat', '/dashboard': 'dashboard' }

/** The file of a build whose age is that of the build. */
const ENTRY = 'chat.js'

/**
 * One nonce per answer; scripts that a script with the nonce loads need none of their own. Style attributes are not
 * allowed, and text becomes markup only through the page's own sanitizer.
 */
const csp = (nonce: string): string =>
  [
    "default-src 'none'",
    `script-src 'nonce-${nonce}'`,
    `style-src 'nonce-${nonce}'`,
    "img-src 'self' data:",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    'trusted-types dompurify',
  ].join('; ')

const page = (name: string, nonce: string): string => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>AI Backend Hub</title>
<link rel="icon" href="/pages/icon.svg">
<link rel="stylesheet" nonce="${nonce}" href="/pages/${name}.css">
<script type="module" nonce="${nonce}" src="/pages/${name}.js"></script>
</head>
<body>
<div id="root"></div>
<noscript><p>This page needs JavaScript. The <a href="/docs">API</a> does not.</p></noscript>
</body>
</html>
`

/** Without a build, and nothing to build it with, the addresses are left to what is mounted behind. */
export function mountPages(app: Express, deps: PagesDeps): void {
  const { folder, sources, log } = deps
  let building: Promise<void> | undefined

  async function prepare(): Promise<boolean> {
    const built = await modified(join(folder, ENTRY))
    const changed = await newest(sources)
    if (built !== undefined && (changed === undefined || changed <= built)) return true
    if (changed === undefined) return false
    building ??= run(join(sources, 'build.ts')).finally(() => {
      building = undefined
    })
    try {
      await building
      return true
    } catch (thrown) {
      log.error('the pages cannot be built', { reason: HubError.from(thrown).message })
      return built !== undefined
    }
  }

  for (const [path, name] of Object.entries(PAGES)) {
    app.get(path, async (_request, response, next) => {
      if (!(await prepare())) {
        next()
        return
      }
      const nonce = randomBytes(18).toString('base64')
      response.setHeader('Content-Security-Policy', csp(nonce))
      response.setHeader('Cache-Control', 'no-store')
      response.type('html').send(page(name, nonce))
    })
  }
  app.get('/pages/:name', (request, response, next) => {
    const { name } = request.params
    if (!/^[\w-]+\.(js|css|svg|txt)$/.test(name) && !/^[\w-]+\.(js|css)\.LEGAL\.txt$/.test(name)) {
      next()
      return
    }
    send(response, folder, name, next)
  })
}

/** Files whose names carry their content's hash stay; the others are asked for again each time. */
function send(response: Response, folder: string, name: string, next: (error?: unknown) => void): void {
  const cacheControl = /-[A-Z0-9]{8}\.(js|css)$/.test(name) ? 'private, max-age=31536000, immutable' : 'no-cache'
  response.sendFile(name, { root: folder, headers: { 'Cache-Control': cacheControl }, cacheControl: false }, error => {
    if (error === undefined || response.headersSent) return
    next('status' in error && error.status === 404 ? undefined : error)
  })
}

/** Builds in a process of its own, so that the hub keeps nothing of the compiler. */
async function run(script: string): Promise<void> {
  const child: ChildProcess = spawn(process.execPath, [script], {
    stdio: ['ignore', 'ignore', 'pipe'],
    windowsHide: true,
  })
  let said = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-2000)
  })
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  })
  if (code !== 0) throw new HubError('internal', `${script} ended with code ${code}: ${said.trim()}`)
}

async function modified(path: string): Promise<number | undefined> {
  return stat(path).then(
    found => found.mtimeMs,
    () => undefined,
  )
}

/** When the latest file of a folder was changed; undefined when there is no such folder. */
async function newest(folder: string): Promise<number | undefined> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => undefined)
  const times = await Promise.all(
    (entries ?? []).filter(entry => entry.isFile()).map(entry => modified(join(entry.parentPath, entry.name))),
  )
  const known = times.filter(time => time !== undefined)
  return known.length === 0 ? undefined : Math.max(...known)
}
