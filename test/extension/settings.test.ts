/** The settings that package.json declares are those of the hub's schema, and nobody but the user can point the editor at another hub. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import * as z from 'zod'
import { EditorSettings } from '../../server/wire/editor_settings.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const read = (file: string): unknown => JSON.parse(readFileSync(join(ROOT, file), 'utf8'))

type Property = { [key: string]: unknown; description: string; scope?: string }
const manifest = read('package.json') as {
  contributes: { configuration: { properties: { [name: string]: Property } } }
}
const { properties } = manifest.contributes.configuration
const texts = read('package.nls.json') as { [key: string]: string }

/** By the name that VS Code knows: what the schema says in JSON Schema. */
function schemaProperties(): { [name: string]: Property } {
  const found: { [name: string]: Property } = {}
  const { properties: groups = {} } = z.toJSONSchema(EditorSettings, { io: 'input' })
  for (const [group, schema] of Object.entries(groups)) {
    const members = (schema as { properties: { [name: string]: Property } }).properties
    for (const [name, member] of Object.entries(members)) found[`aiHub.${group}.${name}`] = member
  }
  return found
}

test('the names are the same', () => {
  assert.deepEqual(Object.keys(properties).sort(), Object.keys(schemaProperties()).sort())
})

test('kind, limits, default and description are the same', () => {
  for (const [name, wanted] of Object.entries(schemaProperties())) {
    const { scope: _scope, uniqueItems: _unique, description, ...declared } = properties[name]!
    const { description: meaning, ...schema } = wanted
    assert.deepEqual(declared, schema, name)
    assert.equal(texts[description.replaceAll('%', '')], meaning, name)
  }
})

test('a workspace cannot choose where the code is sent', () => {
  for (const name of ['url', 'home', 'autoStart', 'registry'])
    assert.equal(properties[`aiHub.hub.${name}`]?.scope, 'machine')
  // No folder that is opened may consent in the user's place.
  assert.equal(properties['aiHub.training.collectCompletions']?.scope, 'application')
})
