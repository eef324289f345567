/** The pages' files: built when they are missing or older than their sources, served as they are otherwise, and nothing beside them. */
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { testHub } from '../helpers/hub.ts'

type Context = { after(close: () => Promise<void> | void): void }

/** A build program that counts its runs, or fails. */
const BUILD = `
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
const home = join(import.meta.dirname, '..')
if (existsSync(join(home, 'fail'))) throw new Error('no compiler here')
const runs = existsSync(join(home, 'runs')) ? Number(readFileSync(join(home, 'runs'), 'utf8')) : 0
writeFileSync(join(home, 'runs'), String(runs + 1))
mkdirSync(join(home, 'dist'), { recursive: true })
writeFileSync(join(home, 'dist', 'chat.js'), 'build(' + (runs + 1) + ')')
writeFileSync(join(home, 'dist', 'part-ABCD2345.js'), 'part()')
writeFileSync(join(home, 'dist', 'secret.json'), '{}')
`

async function start(context: Context) {
  const home = mkdtempSync(join(tmpdir(), 'ai-hub-pages-'))
  context.after(() => rmSync(home, { recursive: true, force: true }))
  const [folder, sources] = [join(home, 'dist'), join(home, 'webview')]
  mkdirSync(sources)
  const hub = await testHub(context as never, { server: { pages: { folder, sources } } })
  const runs = () => (existsSync(join(home, 'runs')) ? Number(readFileSync(join(home, 'runs'), 'utf8')) : 0)
  return { home, folder, sources, hub, runs }
}

test('without sources and without a build, / is the list of links', async context => {
  const { hub, sources } = await start(context)
  rmSync(sources, { recursive: true })
  const answer = await hub.get('/')
  assert.equal(answer.status, 200)
  assert.match(answer.text, /API documentation/)
})

test('a build is made at the first visit, once, and again when a source is newer', async context => {
  const { hub, sources, runs } = await start(context)
  writeFileSync(join(sources, 'build.ts'), BUILD)
  const [page, , dashboard] = await Promise.all([hub.get('/'), hub.get('/'), hub.get('/dashboard')])
  assert.match(page.text, /<script type="module" nonce="[^"]+" src="\/pages\/chat\.js">/)
  assert.match(dashboard.text, /<script type="module" nonce="[^"]+" src="\/pages\/dashboard\.js">/)
  assert.notEqual(/nonce="([^"]+)/.exec(page.text)?.[1], /nonce="([^"]+)/.exec(dashboard.text)?.[1])
  assert.equal(runs(), 1)
  assert.equal((await hub.get('/pages/chat.js')).text, 'build(1)')
  await hub.get('/')
  assert.equal(runs(), 1)
  const later = Date.now() / 1000 + 60
  utimesSync(join(sources, 'build.ts'), later, later)
  await hub.get('/')
  assert.equal((await hub.get('/pages/chat.js')).text, 'build(2)')
})

test('a build that fails leaves the earlier one in use, or the list of links, and says why', async context => {
  const { home, hub, sources } = await start(context)
  writeFileSync(join(sources, 'build.ts'), BUILD)
  writeFileSync(join(home, 'fail'), '')
  assert.match((await hub.get('/')).text, /API documentation/)
  assert.ok(hub.log.some(line => line.includes('the pages cannot be built') && line.includes('no compiler here')))
  rmSync(join(home, 'fail'))
  await hub.get('/')
  writeFileSync(join(home, 'fail'), '')
  const later = Date.now() / 1000 + 60
  utimesSync(join(sources, 'build.ts'), later, later)
  assert.match((await hub.get('/')).text, /chat\.js/)
})

test('files named after their content stay in the cache, the others are asked for again, and nothing else is served', async context => {
  const { hub, sources, home } = await start(context)
  writeFileSync(join(sources, 'build.ts'), BUILD)
  await hub.get('/')
  const part = await hub.get('/pages/part-ABCD2345.js')
  assert.match(part.headers.get('cache-control') ?? '', /immutable/)
  assert.match(part.headers.get('content-type') ?? '', /^text\/javascript/)
  const entry = await hub.get('/pages/chat.js')
  assert.equal(entry.headers.get('cache-control'), 'no-cache')
  assert.ok(entry.headers.has('last-modified'))
  writeFileSync(join(home, 'chat.js'), 'outside()')
  for (const name of ['secret.json', 'none.js', '..%2fchat.js', '..%2Fruns', '.hidden.js', '%00.js']) {
    assert.equal((await hub.get(`/pages/${name}`)).status, 404, name)
  }
})
