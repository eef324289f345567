/** Which keywords of JSON Schema are understood, and how two schemas that must both hold become one. */
import type { JsonSchema } from '../wire/worker.ts'

export type Keywords = { readonly [keyword: string]: unknown }

export const TYPES = ['object', 'array', 'string', 'number', 'integer', 'boolean', 'null'] as const
export type TypeName = (typeof TYPES)[number]

/** Keywords that say nothing about which values are valid. `x-...` is treated like them. */
const ANNOTATIONS = new Set([
  'title', 'description', 'default', 'example', 'examples', 'deprecated', 'readOnly', 'writeOnly', '$schema', '$id', 'id',
  '$comment', '$vocabulary', '$anchor', '$defs', 'definitions', 'discriminator', 'externalDocs', 'xml',
  'contentEncoding', 'contentMediaType', 'contentSchema', 'enumNames', 'enumDescriptions', 'markdownDescription', 'propertyOrdering',
]) // biome-ignore format: a table

/** Keywords that bear on one type, in the order in which types are written. */
const OF_TYPE: { [keyword: string]: TypeName } = {
  properties: 'object',
  required: 'object',
  additionalProperties: 'object',
  unevaluatedProperties: 'object',
  propertyNames: 'object',
  minProperties: 'object',
  maxProperties: 'object',
  items: 'array',
  prefixItems: 'array',
  additionalItems: 'array',
  minItems: 'array',
  maxItems: 'array',
  uniqueItems: 'array',
  pattern: 'string',
  minLength: 'string',
  maxLength: 'string',
  minimum: 'number',
  maximum: 'number',
  exclusiveMinimum: 'number',
  exclusiveMaximum: 'number',
  multipleOf: 'number',
}
const COMBINATORS = new Set(['$ref', 'allOf', 'anyOf', 'oneOf'])
const OTHERS = new Set(['type', 'nullable', 'enum', 'const', 'format'])

export function isAnnotation(keyword: string): boolean {
  return ANNOTATIONS.has(keyword) || keyword.startsWith('x-')
}

export function isCombinator(keyword: string): boolean {
  return COMBINATORS.has(keyword)
}

export function isKnown(keyword: string): boolean {
  return isAnnotation(keyword) || isCombinator(keyword) || OTHERS.has(keyword) || Object.hasOwn(OF_TYPE, keyword)
}

/** The schema without annotations and combinators. */
export function ownKeywords(schema: Keywords): Keywords {
  return Object.fromEntries(
    Object.entries(schema).filter(([keyword]) => !isAnnotation(keyword) && !isCombinator(keyword)),
  )
}

/** Representations of numbers that API descriptions give as a format, with their ranges. */
export const NUMBER_FORMATS: { [name: string]: readonly [number, number] | undefined } = {
  int8: [-128, 127],
  int16: [-32768, 32767],
  int32: [-2147483648, 2147483647],
  int64: [-Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
  uint8: [0, 255],
  uint16: [0, 65535],
  uint32: [0, 4294967295],
  uint64: [0, Number.MAX_SAFE_INTEGER],
  uint: [0, Number.MAX_SAFE_INTEGER],
  int: [-Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
}

/** Representations of numbers that do not narrow JSON's own. */
export const REAL_FORMATS: ReadonlySet<string> = new Set(['float', 'double', 'decimal'])

/**
 * The types that are written. A schema without `type` gets those that its other keywords speak about: values of the remaining types
 * would be valid, too, but nobody who writes `properties` waits for a number.
 */
export function typesOf(schema: Keywords): TypeName[] {
  let types: TypeName[]
  if (schema.type !== undefined) {
    types = (Array.isArray(schema.type) ? schema.type : [schema.type]) as TypeName[]
    if (schema.nullable === true && !types.includes('null')) types = [...types, 'null']
  } else {
    const spoken = new Set<TypeName>(Object.keys(schema).flatMap(keyword => OF_TYPE[keyword] ?? []))
    const format = [schema.format].flat()[0]
    if (typeof format === 'string')
      spoken.add(Object.hasOwn(NUMBER_FORMATS, format) || REAL_FORMATS.has(format) ? 'number' : 'string')
    types = spoken.size > 0 ? TYPES.filter(type => spoken.has(type)) : [...TYPES]
  }
  return types.filter(type => type !== 'integer' || !types.includes('number'))
}

/** Says which keyword has no merged form. */
export class CannotMerge extends Error {
  readonly keyword: string
  constructor(keyword: string) {
    super(`"${keyword}" on both sides of a combination`)
    this.keyword = keyword
  }
}

export type Both = (a: JsonSchema, b: JsonSchema) => JsonSchema

/**
 * One schema that holds where both hold; neither has combinators. `both` joins two schemas of the same place.
 * `undefined` when nothing can satisfy both. @throws CannotMerge
 */
export function merge(a: Keywords, b: Keywords, both: Both): Keywords | undefined {
  const out: { [keyword: string]: unknown } = {}
  for (const keyword of new Set([...Object.keys(a), ...Object.keys(b)])) {
    if (!Object.hasOwn(b, keyword)) out[keyword] = a[keyword]
    else if (!Object.hasOwn(a, keyword)) out[keyword] = b[keyword]
    else {
      const joined = join(keyword, a[keyword], b[keyword], both)
      if (joined === undefined) return undefined
      out[keyword] = joined
    }
  }
  // `nullable` widens the type that stands beside it, so that it has to be counted in before types are compared.
  if (a.type !== undefined || b.type !== undefined) {
    const types = commonTypes(
      a.type === undefined ? [...TYPES] : typesOf(a),
      b.type === undefined ? [...TYPES] : typesOf(b),
    )
    if (types.length === 0) return undefined
    out.type = types
  }
  delete out.nullable
  mergeProperties(a, b, out, both)
  if (a.prefixItems !== undefined || b.prefixItems !== undefined) mergeItems(a, b, out, both)
  return out
}

function commonTypes(a: TypeName[], b: TypeName[]): TypeName[] {
  return TYPES.filter(type =>
    type === 'integer'
      ? (a.includes('integer') && (b.includes('integer') || b.includes('number'))) ||
        (b.includes('integer') && a.includes('number'))
      : a.includes(type) && b.includes(type),
  )
}

function join(keyword: string, x: unknown, y: unknown, both: Both): unknown {
  if (equal(x, y)) return x
  switch (keyword) {
    case 'minimum':
    case 'exclusiveMinimum':
    case 'minLength':
    case 'minItems':
    case 'minProperties':
      if (typeof x !== typeof y) throw new CannotMerge(keyword)
      return Math.max(Number(x), Number(y))
    case 'maximum':
    case 'exclusiveMaximum':
    case 'maxLength':
    case 'maxItems':
    case 'maxProperties':
      if (typeof x !== typeof y) throw new CannotMerge(keyword)
      return Math.min(Number(x), Number(y))
    case 'uniqueItems':
      return true
    case 'pattern':
    case 'format':
      return [...new Set([x, y].flat())]
    case 'required':
      return [...new Set([...(x as string[]), ...(y as string[])])]
    case 'enum': {
      const values = (x as unknown[]).filter(value => (y as unknown[]).some(other => equal(value, other)))
      return values.length > 0 ? values : undefined
    }
    case 'const':
      return undefined
    case 'items':
    case 'propertyNames':
      if (Array.isArray(x) || Array.isArray(y)) throw new CannotMerge(keyword)
      return both(x as JsonSchema, y as JsonSchema)
    case 'type':
    case 'nullable':
    case 'properties':
    case 'additionalProperties':
    case 'prefixItems':
      return true
    default:
      throw new CannotMerge(keyword)
  }
}

type Properties = { [name: string]: JsonSchema }

function mergeProperties(a: Keywords, b: Keywords, out: { [keyword: string]: unknown }, both: Both): void {
  const [x, y] = [(a.properties ?? {}) as Properties, (b.properties ?? {}) as Properties]
  const [restX, restY] = [
    a.additionalProperties as JsonSchema | undefined,
    b.additionalProperties as JsonSchema | undefined,
  ]
  const names = [...new Set([...Object.keys(x), ...Object.keys(y)])]
  if (names.length > 0) {
    const properties = names.map((name): [string, JsonSchema] => {
      const mine = Object.hasOwn(x, name) ? x[name] : restX
      const theirs = Object.hasOwn(y, name) ? y[name] : restY
      return [name, mine === undefined ? theirs! : theirs === undefined ? mine : both(mine, theirs)]
    })
    out.properties = Object.fromEntries(properties)
  }
  if (restX !== undefined && restY !== undefined) out.additionalProperties = both(restX, restY)
}

function mergeItems(a: Keywords, b: Keywords, out: { [keyword: string]: unknown }, both: Both): void {
  const [x, y] = [(a.prefixItems ?? []) as JsonSchema[], (b.prefixItems ?? []) as JsonSchema[]]
  const restX = a.items as JsonSchema | undefined
  const restY = b.items as JsonSchema | undefined
  out.prefixItems = Array.from({ length: Math.max(x.length, y.length) }, (_, index) => {
    const mine = x[index] ?? restX
    const theirs = y[index] ?? restY
    return mine === undefined ? theirs! : theirs === undefined ? mine : both(mine, theirs)
  })
}

/** Whether two JSON values are the same, whatever the order of keys. */
export function equal(a: unknown, b: unknown): boolean {
  if (a === b) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false
  if (Array.isArray(a) || Array.isArray(b)) {
    return Array.isArray(a) && Array.isArray(b) && a.length === b.length && a.every((value, at) => equal(value, b[at]))
  }
  const names = Object.keys(a)
  return (
    names.length === Object.keys(b).length &&
    names.every(name => Object.hasOwn(b, name) && equal(a[name as keyof typeof a], b[name as keyof typeof b]))
  )
}

export function typeOfValue(value: unknown): TypeName {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'array'
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'number'
  if (typeof value === 'string' || typeof value === 'boolean' || typeof value === 'object')
    return typeof value as TypeName
  throw new TypeError(`${typeof value} is no JSON value`)
}
