/** A JSON schema as a document: where its parts stand, what its references name, and how it is refused. */
import { HubError } from '../lib/error.ts'
import type { JsonSchema } from '../wire/worker.ts'
import { checkKeywords, places, pointer } from './grammar_check.ts'
import { isAnnotation, isCombinator, type Keywords, typesOf } from './grammar_merge.ts'

/** Parts of a schema that are read, counting one each time that a reference leads to it. */
const MAX_STEPS = 20_000

export class SchemaDocument {
  readonly root: JsonSchema
  readonly #param: string | undefined
  /** JSON pointer by schema object. */
  readonly places: Map<object, string>
  /** Schemas made by joining others: checked when they were read, and with lists where a schema has one text. */
  readonly joined = new Set<object>()
  /** The last reason why nothing satisfies a part of the schema. */
  conflict = ''
  readonly #finite = new Set<object>()
  #steps = 0

  constructor(root: JsonSchema, param: string | undefined) {
    this.root = root
    this.#param = param
    this.places = places(root, message => this.refuse(message))
  }

  /** @throws HubError invalid_request */
  refuse(message: string): never {
    throw new HubError('invalid_request', message, this.#param === undefined ? {} : { param: this.#param })
  }

  /** Counts work that references multiply. */
  step(): void {
    if (++this.#steps > MAX_STEPS) this.refuse('The JSON schema combines its parts in too many ways for a grammar.')
  }

  /** The JSON pointer of a schema, or of a keyword in it. */
  at(schema: object, keyword?: string): string {
    const place = this.places.get(schema) ?? '#'
    return keyword === undefined ? place : pointer(place, keyword)
  }

  /** @throws HubError invalid_request, naming the keyword's place */
  unsupported(schema: object, keyword: string, why: string): never {
    this.refuse(`The JSON schema's keyword at ${this.at(schema, keyword)} cannot be enforced: ${why}.`)
  }

  /** Notes why nothing satisfies the schema. */
  impossible(schema: object, why: string): undefined {
    this.conflict = `${why} at ${this.at(schema)}`
    return undefined
  }

  /** Refuses unknown and ill-formed keywords of this one schema. */
  check(schema: Keywords): void {
    checkKeywords(schema, (keyword, why) => this.unsupported(schema, keyword, why), this.joined.has(schema))
  }

  /** The schema that a `$ref` names. */
  target(schema: Keywords): JsonSchema {
    const ref = String(schema.$ref)
    if (!ref.startsWith('#') || (ref.length > 1 && ref[1] !== '/')) {
      this.unsupported(schema, '$ref', `"${ref}" does not point into the schema itself (#/...)`)
    }
    let here: unknown = this.root
    for (const part of ref.split('/').slice(1)) {
      let name = part
      try {
        name = decodeURIComponent(part)
      } catch {
        // A stray percent sign is a character of the name.
      }
      name = name.replaceAll('~1', '/').replaceAll('~0', '~')
      const found = typeof here === 'object' && here !== null && Object.hasOwn(here, name)
      here = found ? (here as Keywords)[name] : undefined
    }
    if (typeof here === 'boolean') return here
    if (typeof here !== 'object' || here === null || Array.isArray(here)) {
      this.unsupported(schema, '$ref', `there is no schema at "${ref}"`)
    }
    return here as Keywords
  }

  /** Whether every value of the schema contains another value of it. */
  endless(schema: JsonSchema, path: Set<object>): boolean {
    if (typeof schema === 'boolean' || this.#finite.has(schema)) return false
    if (path.has(schema)) return true
    this.step()
    const inside = new Set([...path, schema])
    const through = (inner: unknown) =>
      typeof inner === 'object' && inner !== null && this.endless(inner as Keywords, inside)
    const endless = (): boolean => {
      if (schema.$ref !== undefined && through(this.target(schema))) return true
      if (Array.isArray(schema.allOf) && schema.allOf.some(through)) return true
      for (const branches of [schema.anyOf, schema.oneOf]) {
        if (Array.isArray(branches) && branches.length > 0 && branches.every(through)) return true
      }
      if (Object.keys(schema).every(keyword => isCombinator(keyword) || isAnnotation(keyword))) return false
      const types = typesOf(schema)
      const inObject = () => {
        const required = Array.isArray(schema.required) ? schema.required : []
        const properties = (schema.properties ?? {}) as Keywords
        return required.some(key =>
          through(Object.hasOwn(properties, key) ? properties[key] : schema.additionalProperties),
        )
      }
      const inArray = () => {
        const least = Number(schema.minItems ?? 0)
        const prefix = (Array.isArray(schema.prefixItems) ? schema.prefixItems : []) as unknown[]
        return prefix.slice(0, least).some(through) || (least > prefix.length && through(schema.items))
      }
      return types.every(type => (type === 'object' && inObject()) || (type === 'array' && inArray()))
    }
    if (endless()) return true
    this.#finite.add(schema)
    return false
  }
}
