/** OpenAI's published OpenAPI document as a judge of answers; where it is not there, the tests that need it are skipped. */
import { existsSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { Ajv2020 } from 'ajv/dist/2020.js'
import addFormatsPlugin from 'ajv-formats'

const PATH =
  process.env.AI_HUB_TEST_SPEC ??
  resolve(import.meta.dirname, '..', '..', '..', 'shared', 'spec', 'openai-openapi.json')

/** Give it to `test` as the option `skip`: false, or why the specification cannot be used. */
export const specMissing: string | false = existsSync(PATH)
  ? false
  : "OpenAI's OpenAPI document is not there; AI_HUB_TEST_SPEC may name it"

let ajv: Ajv2020 | undefined

/**
 * Checks a value against `#/components/schemas/{schemaName}`. Fields that the schema does not name are allowed.
 * Gives back what is wrong, one line each; an empty list when nothing is.
 */
export function validate(schemaName: string, value: unknown): string[] {
  ajv ??= load()
  const check = ajv.getSchema(`openai#/components/schemas/${schemaName}`)
  if (check === undefined) throw new Error(`The specification has no schema ${schemaName}`)
  if (check(value) === true) return []
  return (check.errors ?? []).map(error => `${schemaName}${error.instancePath} ${error.message ?? ''}`)
}

function load(): Ajv2020 {
  const loaded = new Ajv2020({ strict: false, allErrors: true, validateFormats: true, discriminator: false })
  // The package is CommonJS: its default export is the function itself at run time.
  const addFormats = addFormatsPlugin as unknown as (target: Ajv2020) => void
  addFormats(loaded)
  loaded.addFormat('unixtime', { type: 'number', validate: (value: number) => Number.isInteger(value) })
  const document = JSON.parse(readFileSync(PATH, 'utf8')) as { components: { schemas: object } }
  relax(document.components.schemas)
  loaded.addSchema({ $id: 'openai', components: document.components })
  return loaded
}

/** OpenAPI 3.0's `nullable` and boolean limits are not JSON Schema; the document still uses them in places. */
function relax(node: unknown): void {
  if (typeof node !== 'object' || node === null) return
  for (const child of Object.values(node)) relax(child)
  const schema = node as { [key: string]: unknown }
  for (const [limit, exclusive] of [
    ['minimum', 'exclusiveMinimum'],
    ['maximum', 'exclusiveMaximum'],
  ] as const) {
    if (schema[exclusive] === true) schema[exclusive] = schema[limit]
  }
  if (schema.nullable !== true) return
  const { nullable: _, ...rest } = schema
  for (const key of Object.keys(schema)) delete schema[key]
  schema.anyOf = [rest, { type: 'null' }]
}
