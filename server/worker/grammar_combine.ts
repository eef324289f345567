/** Combinations of JSON schemas (allOf, anyOf, oneOf, references with siblings) as alternatives of plain ones. */
import type { JsonSchema } from '../wire/worker.ts'
import type { SchemaDocument } from './grammar_document.ts'
import { CannotMerge, isCombinator, type Keywords, merge, ownKeywords, TYPES, typesOf } from './grammar_merge.ts'
import type { Bounds } from './grammar_number.ts'
import { type Language, TooManyStates } from './grammar_regex.ts'
import type { SchemaValues } from './grammar_values.ts'

const MAX_WAYS = 256

export class SchemaCombiner {
  readonly #document: SchemaDocument
  readonly #values: SchemaValues
  readonly #joined = new Map<object, Map<object, Keywords>>()

  constructor(document: SchemaDocument, values: SchemaValues) {
    this.#document = document
    this.#values = values
  }

  /** The schema as alternatives without combinators. */
  expand(schema: JsonSchema, open: Set<object>): Keywords[] {
    if (schema === true) return [{}]
    if (schema === false) return []
    this.#document.step()
    this.#document.check(schema)
    if (!Object.keys(schema).some(isCombinator)) return [schema]
    const inside = new Set([...open, schema])
    const enter = (branch: JsonSchema): Keywords[] => {
      if (typeof branch === 'object' && inside.has(branch)) {
        this.#document.refuse(`The reference at ${this.#document.at(branch)} leads back to itself.`)
      }
      if (typeof branch === 'object' && branch.unevaluatedProperties === false) {
        this.#document.unsupported(branch, 'unevaluatedProperties', 'it stands in a part of a combination')
      }
      return this.expand(branch, inside)
    }
    const { unevaluatedProperties: _, ...own } = ownKeywords(schema)
    this.#document.joined.add(own)
    this.#document.places.set(own, this.#document.at(schema))
    let ways: Keywords[] = [own]
    const cross = (others: Keywords[]) => {
      if (ways.length * others.length > MAX_WAYS)
        this.#document.refuse(`The combinations at ${this.#document.at(schema)} are more than ${MAX_WAYS}.`)
      const merged = ways.flatMap(way => others.map(other => this.#merge(schema, way, other)))
      ways = merged.filter(way => way !== undefined)
    }
    if (schema.$ref !== undefined) cross(enter(this.#document.target(schema)))
    for (const branch of (schema.allOf ?? []) as JsonSchema[]) cross(enter(branch))
    if (schema.anyOf !== undefined) cross((schema.anyOf as JsonSchema[]).flatMap(enter))
    if (schema.oneOf !== undefined) {
      const before = ways
      const groups = (schema.oneOf as JsonSchema[]).map(branch => {
        ways = before
        cross(enter(branch))
        return ways
      })
      this.requireExclusive(schema, groups)
      ways = groups.flat()
    }
    if (ways.length === 0) this.#document.impossible(schema, 'a combination of which no two parts agree')
    return ways
  }

  #merge(place: object, a: Keywords, b: Keywords): Keywords | undefined {
    const [x, y] = [ownKeywords(a), ownKeywords(b)]
    if (Object.keys(y).length === 0) return a
    try {
      const merged = merge(x, y, (p, q) => this.#both(place, p, q))
      if (merged === undefined) return this.#document.impossible(place, 'parts that exclude each other')
      this.#document.joined.add(merged)
      this.#document.places.set(merged, this.#document.at(place))
      return merged
    } catch (error) {
      if (error instanceof CannotMerge)
        this.#document.refuse(`The JSON schema at ${this.#document.at(place)} cannot be enforced: ${error.message}.`)
      throw error
    }
  }

  /** Both schemas at one place. The same pair is the same object, so that recursion through it comes to an end. */
  #both(place: object, a: JsonSchema, b: JsonSchema): JsonSchema {
    if (a === b || b === true) return a
    if (a === true) return b
    if (a === false || b === false) return false
    const pairs = this.#joined.get(a) ?? new Map<object, Keywords>()
    this.#joined.set(a, pairs)
    const joined = pairs.get(b) ?? { allOf: [a, b] }
    pairs.set(b, joined)
    if (!this.#document.places.has(joined)) this.#document.places.set(joined, this.#document.at(place))
    return joined
  }

  /** The property names that a `propertyNames` schema allows. */
  keyLanguage(schema: JsonSchema): Language {
    const regex = this.#values.regex
    const ways = this.expand(schema, new Set()).map(way => {
      if (!typesOf(way).includes('string')) return regex.nothing
      if (way.enum === undefined && !Object.hasOwn(way, 'const')) return this.#values.language(way) ?? regex.anyText
      const values = (way.enum ?? [way.const]) as unknown[]
      return regex.either(
        ...values.flatMap(value =>
          typeof value === 'string' && this.#values.satisfies(value, way) ? [regex.text(value)] : [],
        ),
      )
    })
    return regex.either(...ways)
  }

  /** Refuses a `oneOf` of which a generated value might satisfy two branches. */
  requireExclusive(schema: Keywords, branches: Keywords[][]): void {
    branches.forEach((mine, index) => {
      branches.forEach((theirs, other) => {
        if (index === other) return
        if (!mine.every(way => theirs.every(against => this.#excludes(way, against, 3)))) {
          this.#document.unsupported(
            schema,
            'oneOf',
            `a value may satisfy both ${index} and ${other}; tell them apart by a required property or a type, or use anyOf`,
          )
        }
      })
    })
  }

  /** Whether no value that is written for `mine` satisfies `theirs`; both are without combinators. */
  #excludes(mine: Keywords, other: Keywords, depth: number): boolean {
    // A validator may take more for a format than what is written here, or all.
    const { format: _, ...theirs } = other
    const listed = (schema: Keywords): unknown[] | undefined =>
      Object.hasOwn(schema, 'const') ? [schema.const] : (schema.enum as unknown[] | undefined)
    const values = listed(mine)
    if (values !== undefined)
      return values.every(
        value => this.#values.satisfies(value, theirs) === false || this.#values.satisfies(value, mine) === false,
      )
    const others = listed(theirs)
    if (others?.every(value => this.#values.satisfies(value, mine) === false)) return true
    const theirTypes = theirs.type === undefined ? [...TYPES] : typesOf(theirs)
    return typesOf(mine).every(type => {
      if (
        !theirTypes.includes(type) &&
        !(type === 'integer' && theirTypes.includes('number')) &&
        !(type === 'number' && theirTypes.includes('integer'))
      )
        return true
      if (type === 'object') return this.#excludesObject(mine, theirs, depth)
      if (type === 'string') {
        const [a, b] = [this.#values.language(mine), this.#values.language(theirs)]
        if (a === undefined || b === undefined) return false
        try {
          return this.#values.regex.automaton(this.#values.regex.both(a, b)) === undefined
        } catch (error) {
          if (error instanceof TooManyStates) return false
          throw error
        }
      }
      if (type !== 'number' && type !== 'integer') return false
      const [a, b] = [this.#values.bounds(mine), this.#values.bounds(theirs)]
      const above = (x: Bounds, y: Bounds) =>
        x.min !== undefined &&
        y.max !== undefined &&
        (x.min > y.max || (x.min === y.max && (x.minExclusive === true || y.maxExclusive === true)))
      return above(a, b) || above(b, a)
    })
  }

  #excludesObject(mine: Keywords, theirs: Keywords, depth: number): boolean {
    const [x, y] = [
      (mine.properties ?? {}) as { [key: string]: JsonSchema },
      (theirs.properties ?? {}) as { [key: string]: JsonSchema },
    ]
    const [needed, theirNeeded] = [(mine.required ?? []) as string[], (theirs.required ?? []) as string[]]
    const closed = (mine.additionalProperties ?? false) === false
    if (closed && theirNeeded.some(key => !Object.hasOwn(x, key) && !needed.includes(key))) return true
    if (theirs.additionalProperties === false && needed.some(key => !Object.hasOwn(y, key))) return true
    if (depth === 0) return false
    return needed.some(key => {
      if (!Object.hasOwn(x, key) || !Object.hasOwn(y, key)) return false
      const [a, b] = [this.expand(x[key]!, new Set()), this.expand(y[key]!, new Set())]
      return a.every(way => b.every(against => this.#excludes(way, against, depth - 1)))
    })
  }
}
