/** package.json against the code of the extension: commands, menus, views, and the texts of both languages. */
import assert from 'node:assert/strict'
import { existsSync, globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'

const ROOT = join(import.meta.dirname, '..', '..')
const read = (file: string): string => readFileSync(join(ROOT, file), 'utf8')
const json = <T>(file: string): T => JSON.parse(read(file)) as T

type Texts = { [key: string]: string }
type Manifest = {
  main: string
  icon: string
  l10n: string
  contributes: {
    commands: { command: string; title: string }[]
    menus: { [place: string]: { command?: string; submenu?: string }[] }
    submenus: { id: string }[]
    views: { [container: string]: { id: string }[] }
    viewsContainers: { activitybar: { id: string; icon: string }[] }
    viewsWelcome: { view: string; contents: string }[]
    walkthroughs: { id: string; steps: { description: string; media: { markdown: string } }[] }[]
    languageModelChatProviders: { vendor: string }[]
  }
}
const manifest = json<Manifest>('package.json')
const { contributes } = manifest
const english = json<Texts>('package.nls.json')
const vietnamese = json<Texts>('package.nls.vi.json')
const bundle = json<Texts>('l10n/bundle.l10n.vi.json')
const sources = globSync('extension/*.ts', { cwd: ROOT }).map(read)
const main = read('extension/main.ts')
const declared = contributes.commands.map(({ command }) => command)

/** Commands that other parts run, which nobody chooses by name. */
const SILENT = ['aiHub.useTrained', 'aiHub.showMarkdown', 'aiHub.rewrite', 'aiHub.rename']

test('every command that is declared is registered, and every other one is known to be silent', () => {
  const actions = [...read('extension/assist.ts').matchAll(/^ {2}'(aiHub\.\w+)': '/gm)].map(match => match[1]!)
  const registered = [...main.matchAll(/^ {4}'(aiHub\.\w+)':/gm)].map(match => match[1]!)
  assert.deepEqual([...registered, ...actions].sort(), [...declared, ...SILENT].sort())
})

test('menus, welcome texts and steps name commands that there are', () => {
  const used = [
    ...Object.values(contributes.menus).flatMap(rows => rows.map(({ command }) => command)),
    ...[...JSON.stringify(english).matchAll(/\(command:([\w.]+)\)/g)].map(match => match[1]),
  ]
  for (const command of used) assert.ok(command === undefined || declared.includes(command), command)
  const submenus = contributes.submenus.map(({ id }) => id)
  for (const id of submenus) assert.ok(id in contributes.menus, id)
})

test('what the code names of the manifest is there', () => {
  const views = Object.values(contributes.views).flatMap(each => each.map(({ id }) => id))
  const named = sources.flatMap(text =>
    [...text.matchAll(/(?:createTreeView\(|const VIEW = )'([\w.]+)'/g)].map(match => match[1]!),
  )
  assert.deepEqual(named.sort(), views.sort())
  for (const { view } of contributes.viewsWelcome) assert.ok(views.includes(view))
  assert.ok(main.includes(`#${contributes.walkthroughs[0]?.id}`))
  assert.match(read('extension/chat_provider.ts'), new RegExp(`'${contributes.languageModelChatProviders[0]?.vendor}'`))
  // A command of VS Code's own is not among ours, so that a typing error in one of ours shows.
  const run = sources.flatMap(text => [...text.matchAll(/'(aiHub\.[a-z]\w*)'/gi)].map(match => match[1]!))
  const known = [
    ...declared,
    ...SILENT,
    ...views,
    'aiHub.state',
    'aiHub.hasModels',
    'aiHub.canGetCuda',
    'aiHub.status',
    'aiHub.hub',
  ]
  for (const name of run) assert.ok(known.includes(name), name)
})

test('files that the manifest names are there', () => {
  const files = [
    manifest.icon,
    manifest.l10n,
    ...contributes.viewsContainers.activitybar.map(({ icon }) => icon),
    ...contributes.walkthroughs.flatMap(({ steps }) => steps.map(({ media }) => media.markdown)),
  ]
  for (const file of files) assert.ok(existsSync(join(ROOT, file)), file)
})

test('every text of the manifest is there in both languages, and none is left over', () => {
  const used = [...read('package.json').matchAll(/"%([\w.]+)%"/g)].map(match => match[1]!)
  assert.deepEqual([...new Set(used)].sort(), Object.keys(english).sort())
  assert.deepEqual(Object.keys(vietnamese).sort(), Object.keys(english).sort())
  const commands = (text: string) => [...text.matchAll(/\(command:[\w.]+\)/g)].map(match => match[0])
  for (const [key, text] of Object.entries(english)) assert.deepEqual(commands(vietnamese[key]!), commands(text), key)
})

test('every text of the code is there in Vietnamese, with the same places', () => {
  const used = new Set<string>()
  for (const text of sources) {
    for (const [, single, double] of text.matchAll(
      /(?:l10n\.t|\bt)\(\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")/g,
    )) {
      used.add((single ?? double ?? '').replaceAll("\\'", "'"))
    }
  }
  assert.ok(used.size > 100)
  assert.deepEqual(Object.keys(bundle).sort(), [...used].sort())
  const places = (text: string) => [...text.matchAll(/\{\d\}/g)].map(match => match[0]).sort()
  for (const [text, translated] of Object.entries(bundle)) assert.deepEqual(places(translated), places(text), text)
})
