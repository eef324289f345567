/** Reads a JSON schema before anything is made of it: where its parts stand, and whether each keyword is known and well-formed. */
import { isAnnotation, isKnown, type Keywords, TYPES } from './grammar_merge.ts'

/** JSON pointer of a member, as a URI fragment without percent-encoding. */
export function pointer(at: string, name: string | number): string {
  return `${at}/${String(name).replaceAll('~', '~0').replaceAll('/', '~1')}`
}

const MAX_DEPTH = 64
const MAX_NODES = 50_000

/** The JSON pointer of every object within the schema. */
export function places(root: unknown, refuse: (message: string) => never): Map<object, string> {
  const found = new Map<object, string>()
  const walk = (node: unknown, at: string, depth: number): void => {
    if (typeof node !== 'object' || node === null) return
    if (depth > MAX_DEPTH) refuse(`The JSON schema is nested deeper than ${MAX_DEPTH} levels at ${at}.`)
    if (found.size > MAX_NODES) refuse(`The JSON schema has more than ${MAX_NODES} parts.`)
    // An object that stands at two places keeps its first one.
    if (found.has(node)) return
    found.set(node, at)
    for (const [name, inner] of Object.entries(node)) walk(inner, pointer(at, name), depth + 1)
  }
  if (typeof root !== 'boolean' && (typeof root !== 'object' || root === null || Array.isArray(root))) {
    refuse('A JSON schema must be an object, true or false.')
  }
  walk(root, '#', 0)
  return found
}

const isSchema = (value: unknown): boolean =>
  typeof value === 'boolean' || (typeof value === 'object' && value !== null && !Array.isArray(value))
const isSchemas = (value: unknown): boolean => Array.isArray(value) && value.every(isSchema)
const isText = (value: unknown): boolean => typeof value === 'string'
const isCount = (value: unknown): boolean => Number.isInteger(value) && Number(value) >= 0
const isNumber = (value: unknown): boolean => typeof value === 'number' && Number.isFinite(value)
const isNames = (value: unknown): boolean => Array.isArray(value) && value.every(isText)

type Form = [holds: (value: unknown) => boolean, wants: string]
const SCHEMA: Form = [isSchema, 'a schema']
const SCHEMAS: Form = [value => isSchemas(value) && (value as unknown[]).length > 0, 'a non-empty list of schemas']
const COUNT: Form = [isCount, 'a whole number of 0 or more']
const NUMBER: Form = [isNumber, 'a finite number']
const LIMIT: Form = [value => isNumber(value) || typeof value === 'boolean', 'a finite number']
const FLAG: Form = [value => typeof value === 'boolean', 'true or false']

const FORMS: { [keyword: string]: Form | undefined } = {
  $ref: [isText, 'a text'],
  allOf: SCHEMAS,
  anyOf: SCHEMAS,
  oneOf: SCHEMAS,
  type: [
    value => {
      const types: unknown[] = Array.isArray(value) ? value : [value]
      return types.length > 0 && types.every(type => (TYPES as readonly unknown[]).includes(type))
    },
    `one or a list of ${TYPES.join(', ')}`,
  ],
  nullable: FLAG,
  enum: [value => Array.isArray(value) && value.length > 0, 'a non-empty list'],
  format: [isText, 'a text'],
  pattern: [isText, 'a text'],
  properties: [
    value =>
      typeof value === 'object' && value !== null && !Array.isArray(value) && Object.values(value).every(isSchema),
    'an object of schemas',
  ],
  required: [isNames, 'a list of names'],
  additionalProperties: SCHEMA,
  unevaluatedProperties: FLAG,
  propertyNames: SCHEMA,
  items: [value => isSchema(value) || isSchemas(value), 'a schema'],
  prefixItems: [isSchemas, 'a list of schemas'],
  additionalItems: SCHEMA,
  uniqueItems: FLAG,
  minLength: COUNT,
  maxLength: COUNT,
  minItems: COUNT,
  maxItems: COUNT,
  minProperties: COUNT,
  maxProperties: COUNT,
  minimum: NUMBER,
  maximum: NUMBER,
  exclusiveMinimum: LIMIT,
  exclusiveMaximum: LIMIT,
  multipleOf: [value => value === 1, '1, the only step that a grammar can keep to'],
}

/** Keywords that constrain and have no grammar, with values of them that do not constrain. */
const HARMLESS: { [keyword: string]: (value: unknown) => boolean } = {
  patternProperties: value => typeof value === 'object' && value !== null && Object.keys(value).length === 0,
  dependentRequired: value => typeof value === 'object' && value !== null && Object.keys(value).length === 0,
  dependentSchemas: value => typeof value === 'object' && value !== null && Object.keys(value).length === 0,
  not: value => value === false,
  unevaluatedItems: value => value === true,
}

/**
 * Calls `refuse` for the first keyword of this schema that is unknown or ill-formed. A `joined` schema was read before,
 * part by part, and holds lists where a schema has one text.
 */
export function checkKeywords(
  schema: Keywords,
  refuse: (keyword: string, why: string) => never,
  joined: boolean,
): void {
  for (const [keyword, value] of Object.entries(schema)) {
    if (isAnnotation(keyword)) continue
    if (!isKnown(keyword)) {
      if (Object.hasOwn(HARMLESS, keyword) && HARMLESS[keyword]!(value)) continue
      refuse(keyword, `"${keyword}" has no grammar`)
    }
    if (joined) continue
    const form = FORMS[keyword]
    if (form !== undefined && !form[0](value)) refuse(keyword, `it must be ${form[1]}`)
  }
}
