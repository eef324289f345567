/** JSON Schema to grammar rules: every constraint is enforced, or refused with the place where it stands. */
import { HubError } from '../lib/error.ts'
import type { JsonSchema } from '../wire/worker.ts'
import { checkKeywords, places, pointer } from './grammar_check.ts'
import { anyCharacter, anyInteger, anyNumber, anyString, characterBody, gap, space, valueBody } from './grammar_json.ts'
import {
  CannotMerge,
  equal,
  isAnnotation,
  isCombinator,
  type Keywords,
  merge,
  NUMBER_FORMATS,
  ownKeywords,
  TYPES,
  type TypeName,
  typeOfValue,
  typesOf,
} from './grammar_merge.ts'
import { type Bounds, integerBody, numberBody } from './grammar_number.ts'
import { FORMAT_NAMES, formatLanguage, PatternRefused, patternLanguage } from './grammar_pattern.ts'
import { automatonRule, type Language, RegexAlgebra, TooManyStates } from './grammar_regex.ts'
import { ALL, literal, MAX_REPEAT, type Rules, repeat } from './grammar_text.ts'

type JsonRules = Rules & { anyValue(): string }

/** Formats that describe how a value is shown or stored and not which texts are valid. */
const PLAIN_FORMATS: ReadonlySet<string> = new Set(['password', 'text', 'markdown', 'html', 'textarea', 'multiline'])
const MANY_TEXTS = 8
const MAX_WAYS = 256
/** Parts of a schema that are read, counting one each time that a reference leads to it. */
const MAX_STEPS = 20_000

/** The formats that say which texts are valid. */
function textFormats(schema: Keywords): string[] {
  return ([schema.format ?? []].flat() as string[]).filter(format => !PLAIN_FORMATS.has(format))
}

/** One schema's way into a grammar. */
export class SchemaRules {
  readonly #rules: JsonRules
  readonly #root: JsonSchema
  readonly #param: string | undefined
  readonly #places: Map<object, string>
  readonly #regex = new RegexAlgebra()
  /** Rule by schema object; `null` for a schema that nothing satisfies. */
  readonly #made = new Map<object, string | null>()
  /** Names handed out for schemas whose rule is still being made. */
  readonly #reserved = new Map<object, string>()
  readonly #joined = new Map<object, Map<object, Keywords>>()
  readonly #finite = new Set<object>()
  #steps = 0
  /** The last reason why nothing satisfies a part of the schema. */
  #conflict = ''

  constructor(rules: JsonRules, root: JsonSchema, param: string | undefined) {
    this.#rules = rules
    this.#root = root
    this.#param = param
    this.#places = places(root, message => this.#refuse(message))
  }

  /** @throws HubError invalid_request */
  rule(name: string): string {
    const rule = this.#rule(this.#root, name, new Set())
    if (rule === undefined) this.#refuse(`Nothing satisfies the schema: ${this.#conflict}.`)
    return rule
  }

  #refuse(message: string): never {
    throw new HubError('invalid_request', message, this.#param === undefined ? {} : { param: this.#param })
  }

  #step(): void {
    if (++this.#steps > MAX_STEPS) this.#refuse('The JSON schema combines its parts in too many ways for a grammar.')
  }

  #at(schema: object, keyword?: string): string {
    const place = this.#places.get(schema) ?? '#'
    return keyword === undefined ? place : pointer(place, keyword)
  }

  #unsupported(schema: object, keyword: string, why: string): never {
    this.#refuse(`The JSON schema's keyword at ${this.#at(schema, keyword)} cannot be enforced: ${why}.`)
  }

  #impossible(schema: object, why: string): undefined {
    this.#conflict = `${why} at ${this.#at(schema)}`
    return undefined
  }

  /** `open` holds the schemas that are being read at this very character: to meet one again is a reference that goes in a circle. */
  #rule(schema: JsonSchema, name: string, open: Set<object>): string | undefined {
    if (schema === true) return this.#rules.anyValue()
    if (schema === false) {
      this.#conflict = 'a schema is `false`'
      return undefined
    }
    const made = this.#made.get(schema)
    if (made !== undefined) return made ?? undefined
    if (open.has(schema)) this.#refuse(`The reference at ${this.#at(schema)} leads back to itself.`)
    if (this.#reserved.has(schema)) {
      const known = this.#reserved.get(schema) || this.#rules.reserve(name)
      this.#reserved.set(schema, known)
      return known
    }
    this.#check(schema)
    if (this.#endless(schema, new Set())) {
      this.#made.set(schema, null)
      return this.#impossible(schema, 'a schema that requires itself without end')
    }
    this.#reserved.set(schema, '')
    const body = this.#body(schema, name, new Set([...open, schema]))
    const reserved = this.#reserved.get(schema)
    this.#reserved.delete(schema)
    if (body === undefined) {
      if (reserved) this.#refuse(`Nothing satisfies the schema: ${this.#conflict}.`)
      this.#made.set(schema, null)
      return undefined
    }
    let rule = reserved
    if (rule) this.#rules.define(rule, body)
    else rule = /^[a-z0-9-]+$/.test(body) ? body : this.#rules.rule(name, body)
    this.#made.set(schema, rule)
    return rule
  }

  #body(schema: Keywords, name: string, open: Set<object>): string | undefined {
    const combinators = Object.keys(schema).filter(isCombinator)
    if (combinators.length === 0) return this.#simple(schema, name)
    const [only] = combinators
    if (combinators.length === 1 && Object.keys(ownKeywords(schema)).length === 0) {
      if (only === '$ref') {
        const target = this.#target(schema)
        return this.#rule(target, String(schema.$ref).split('/').at(-1) || name, open)
      }
      const branches = schema[only!] as JsonSchema[]
      if (only === 'anyOf') return this.#union(branches, name, open)
      if (only === 'oneOf') {
        this.#requireExclusive(
          schema,
          branches.map(branch => this.#expand(branch, open)),
        )
        return this.#union(branches, name, open)
      }
      if (branches.length === 1) return this.#rule(branches[0]!, name, open)
    }
    return this.#union(this.#expand(schema, open), name, open)
  }

  #union(ways: JsonSchema[], name: string, open: Set<object>): string | undefined {
    const bodies = new Set<string>()
    for (const way of ways) {
      const rule = this.#rule(way, name, open)
      if (rule !== undefined) bodies.add(rule)
    }
    return bodies.size === 0 ? undefined : [...bodies].join(' | ')
  }

  #check(schema: Keywords): void {
    checkKeywords(schema, (keyword, why) => this.#unsupported(schema, keyword, why), this.#joinedSchemas.has(schema))
  }

  /** Schemas made by joining others: checked when they were read, and with lists where a schema has one text. */
  readonly #joinedSchemas = new Set<object>()

  /** The schema that a `$ref` names. */
  #target(schema: Keywords): JsonSchema {
    const ref = String(schema.$ref)
    if (!ref.startsWith('#') || (ref.length > 1 && ref[1] !== '/')) {
      this.#unsupported(schema, '$ref', `"${ref}" does not point into the schema itself (#/...)`)
    }
    let here: unknown = this.#root
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
      this.#unsupported(schema, '$ref', `there is no schema at "${ref}"`)
    }
    return here as Keywords
  }

  /** The schema as alternatives without combinators. */
  #expand(schema: JsonSchema, open: Set<object>): Keywords[] {
    if (schema === true) return [{}]
    if (schema === false) return []
    this.#step()
    this.#check(schema)
    if (!Object.keys(schema).some(isCombinator)) return [schema]
    const inside = new Set([...open, schema])
    const enter = (branch: JsonSchema): Keywords[] => {
      if (typeof branch === 'object' && inside.has(branch)) {
        this.#refuse(`The reference at ${this.#at(branch)} leads back to itself.`)
      }
      if (typeof branch === 'object' && branch.unevaluatedProperties === false) {
        this.#unsupported(branch, 'unevaluatedProperties', 'it stands in a part of a combination')
      }
      return this.#expand(branch, inside)
    }
    const { unevaluatedProperties: _, ...own } = ownKeywords(schema)
    this.#joinedSchemas.add(own)
    this.#places.set(own, this.#at(schema))
    let ways: Keywords[] = [own]
    const cross = (others: Keywords[]) => {
      if (ways.length * others.length > MAX_WAYS)
        this.#refuse(`The combinations at ${this.#at(schema)} are more than ${MAX_WAYS}.`)
      const merged = ways.flatMap(way => others.map(other => this.#merge(schema, way, other)))
      ways = merged.filter(way => way !== undefined)
    }
    if (schema.$ref !== undefined) cross(enter(this.#target(schema)))
    for (const branch of (schema.allOf ?? []) as JsonSchema[]) cross(enter(branch))
    if (schema.anyOf !== undefined) cross((schema.anyOf as JsonSchema[]).flatMap(enter))
    if (schema.oneOf !== undefined) {
      const before = ways
      const groups = (schema.oneOf as JsonSchema[]).map(branch => {
        ways = before
        cross(enter(branch))
        return ways
      })
      this.#requireExclusive(schema, groups)
      ways = groups.flat()
    }
    if (ways.length === 0) this.#impossible(schema, 'a combination of which no two parts agree')
    return ways
  }

  #merge(place: object, a: Keywords, b: Keywords): Keywords | undefined {
    const [x, y] = [ownKeywords(a), ownKeywords(b)]
    if (Object.keys(y).length === 0) return a
    try {
      const merged = merge(x, y, (p, q) => this.#both(place, p, q))
      if (merged === undefined) return this.#impossible(place, 'parts that exclude each other')
      this.#joinedSchemas.add(merged)
      this.#places.set(merged, this.#at(place))
      return merged
    } catch (error) {
      if (error instanceof CannotMerge)
        this.#refuse(`The JSON schema at ${this.#at(place)} cannot be enforced: ${error.message}.`)
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
    if (!this.#places.has(joined)) this.#places.set(joined, this.#at(place))
    return joined
  }

  /** Whether every value of the schema contains another value of it. */
  #endless(schema: JsonSchema, path: Set<object>): boolean {
    if (typeof schema === 'boolean' || this.#finite.has(schema)) return false
    if (path.has(schema)) return true
    this.#step()
    const inside = new Set([...path, schema])
    const through = (inner: unknown) =>
      typeof inner === 'object' && inner !== null && this.#endless(inner as Keywords, inside)
    const endless = (): boolean => {
      if (schema.$ref !== undefined && through(this.#target(schema))) return true
      if (Array.isArray(schema.allOf) && schema.allOf.some(through)) return true
      for (const branches of [schema.anyOf, schema.oneOf]) {
        if (Array.isArray(branches) && branches.length > 0 && branches.every(through)) return true
      }
      if (Object.keys(schema).every(keyword => isCombinator(keyword) || isAnnotation(keyword))) return false
      const types = typesOf(schema)
      const inObject = () => {
        const required = Array.isArray(schema.required) ? schema.required : []
        const properties = (schema.properties ?? {}) as Keywords
        return required.some(key => Object.hasOwn(properties, key) && through(properties[key]))
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

  #simple(schema: Keywords, name: string): string | undefined {
    if (Object.keys(schema).every(isAnnotation)) return this.#rules.anyValue()
    if (schema.enum !== undefined || Object.hasOwn(schema, 'const')) return this.#values(schema)
    const types = typesOf(schema)
    if (types.length === TYPES.length - 1 && !Object.keys(schema).some(keyword => keyword !== 'type')) {
      return this.#rules.anyValue()
    }
    const ways = types.flatMap(type => {
      const body = this.#ofType(schema, type, name)
      return body === undefined
        ? []
        : [/^[^|"[]+$/.test(body) || types.length === 1 ? body : this.#rules.rule(`${name}-${type}`, body)]
    })
    return ways.length === 0 ? undefined : ways.join(' | ')
  }

  #ofType(schema: Keywords, type: TypeName, name: string): string | undefined {
    switch (type) {
      case 'null':
        return '"null"'
      case 'boolean':
        return this.#rules.rule('boolean', '"true" | "false"')
      case 'integer':
      case 'number':
        return this.#number(schema, type)
      case 'string':
        return this.#string(schema, name)
      case 'array':
        return this.#array(schema, name)
      case 'object':
        return this.#object(schema, name)
    }
  }

  /** `enum` and `const`: those of the values that satisfy the other keywords. */
  #values(schema: Keywords): string | undefined {
    const listed = (schema.enum ?? [schema.const]) as unknown[]
    const values = Object.hasOwn(schema, 'const') ? listed.filter(value => equal(value, schema.const)) : listed
    const fitting = values.filter(value => {
      const fits = this.#satisfies(value, schema)
      if (fits === undefined) {
        this.#unsupported(
          schema,
          schema.enum === undefined ? 'const' : 'enum',
          'a list or object stands beside other keywords',
        )
      }
      return fits
    })
    if (fitting.length === 0) return this.#impossible(schema, 'no listed value fits the other keywords')
    const texts = fitting.filter(value => typeof value === 'string')
    // Each alternative is a reading that the engine follows; an automaton of many texts is one reading.
    if (texts.length < MANY_TEXTS) return [...new Set(fitting.map(value => valueBody(this.#rules, value)))].join(' | ')
    const language = this.#regex.either(...texts.map(text => this.#regex.text(text)))
    const rule = this.#automaton(schema, language, 'choice', 'enum')
    const others = fitting.filter(value => typeof value !== 'string').map(value => valueBody(this.#rules, value))
    return [...(rule === undefined ? [] : [`"\\"" ${rule} "\\""`]), ...new Set(others)].join(' | ')
  }

  /** Whether a value satisfies a schema without combinators; undefined when that is not known. */
  #satisfies(value: unknown, schema: Keywords): boolean | undefined {
    const type = typeOfValue(value)
    if (schema.type !== undefined) {
      const types = typesOf(schema)
      if (!types.includes(type) && !(type === 'integer' && types.includes('number'))) return false
    }
    if (schema.enum !== undefined && !(schema.enum as unknown[]).some(other => equal(other, value))) return false
    if (Object.hasOwn(schema, 'const') && !equal(schema.const, value)) return false
    if (typeof value === 'string') {
      const language = this.#language(schema)
      return language === undefined || this.#contains(language, value)
    }
    if (typeof value === 'number') {
      const bounds = this.#bounds(schema)
      if (schema.multipleOf === 1 && !Number.isInteger(value)) return false
      const { min = Number.NEGATIVE_INFINITY, max = Number.POSITIVE_INFINITY } = bounds
      return (
        value >= min &&
        value <= max &&
        !(bounds.minExclusive && value === min) &&
        !(bounds.maxExclusive && value === max)
      )
    }
    if (typeof value !== 'object' || value === null) return true
    const speaks = ['type', 'nullable', 'enum', 'const']
    return Object.keys(schema).every(keyword => speaks.includes(keyword) || isAnnotation(keyword)) ? true : undefined
  }

  #bounds(schema: Keywords): Bounds {
    const bounds: Bounds = {}
    const lower = (at: unknown, exclusive: boolean) => {
      if (typeof at !== 'number' || at < (bounds.min ?? at) || (at === bounds.min && !exclusive)) return
      bounds.min = at
      bounds.minExclusive = exclusive
    }
    const upper = (at: unknown, exclusive: boolean) => {
      if (typeof at !== 'number' || at > (bounds.max ?? at) || (at === bounds.max && !exclusive)) return
      bounds.max = at
      bounds.maxExclusive = exclusive
    }
    // Draft 4 wrote `exclusiveMinimum: true` beside `minimum`.
    lower(schema.minimum, schema.exclusiveMinimum === true)
    lower(schema.exclusiveMinimum, true)
    upper(schema.maximum, schema.exclusiveMaximum === true)
    upper(schema.exclusiveMaximum, true)
    for (const format of [schema.format ?? []].flat()) {
      const range = Object.hasOwn(NUMBER_FORMATS, String(format)) ? NUMBER_FORMATS[String(format)] : undefined
      lower(range?.[0], false)
      upper(range?.[1], false)
    }
    return bounds
  }

  #number(schema: Keywords, type: 'integer' | 'number'): string | undefined {
    const integerFormat = [schema.format ?? []].flat().some(format => Object.hasOwn(NUMBER_FORMATS, String(format)))
    const whole = type === 'integer' || schema.multipleOf === 1 || integerFormat
    const bounds = this.#bounds(schema)
    if (bounds.min === undefined && bounds.max === undefined)
      return whole ? anyInteger(this.#rules) : anyNumber(this.#rules)
    const keyword = ['minimum', 'exclusiveMinimum', 'maximum', 'exclusiveMaximum'].find(
      word => schema[word] !== undefined,
    )
    try {
      const body = whole ? integerBody(bounds) : numberBody(bounds)
      return body ?? this.#impossible(schema, `no ${whole ? 'integer' : 'number'} within the bounds`)
    } catch (error) {
      if (error instanceof RangeError) this.#unsupported(schema, keyword ?? 'format', error.message)
      throw error
    }
  }

  /** The texts that `pattern`, `format` and the lengths allow; undefined when no pattern or format bears on strings. */
  #language(schema: Keywords): Language | undefined {
    const regex = this.#regex
    const parts: Language[] = []
    for (const pattern of [schema.pattern ?? []].flat() as string[]) {
      try {
        parts.push(patternLanguage(regex, pattern))
      } catch (error) {
        if (error instanceof PatternRefused)
          this.#unsupported(schema, 'pattern', `${JSON.stringify(pattern)} uses ${error.message}`)
        throw error
      }
    }
    for (const format of textFormats(schema)) {
      const language = formatLanguage(regex, format)
      if (language === undefined)
        this.#unsupported(schema, 'format', `"${format}" is none of ${FORMAT_NAMES.join(', ')}`)
      parts.push(language)
    }
    const [least, most] = this.#counts(schema, 'minLength', 'maxLength')
    if (parts.length === 0) {
      if (least === 0 && most === Number.POSITIVE_INFINITY) return undefined
      return regex.repeat(regex.set(ALL), least, most)
    }
    if (least > 0 || most < Number.POSITIVE_INFINITY) {
      if (least > most) return regex.nothing
      parts.push(regex.repeat(regex.set(ALL), least, most))
    }
    return regex.both(...parts)
  }

  #counts(schema: Keywords, min: string, max: string): [number, number] {
    const counts = [schema[min] ?? 0, schema[max] ?? Number.POSITIVE_INFINITY] as [number, number]
    if (counts[0] > MAX_REPEAT) this.#unsupported(schema, min, `it is above ${MAX_REPEAT}`)
    // What is longer than this is longer than any context, so that the bound never bites.
    if (counts[1] > MAX_REPEAT) counts[1] = Number.POSITIVE_INFINITY
    return counts
  }

  #string(schema: Keywords, name: string): string | undefined {
    const formats = textFormats(schema)
    if (schema.pattern === undefined && formats.length === 0) {
      const [least, most] = this.#counts(schema, 'minLength', 'maxLength')
      if (least > most) return this.#impossible(schema, 'minLength above maxLength')
      if (least === 0 && most === Number.POSITIVE_INFINITY) return anyString(this.#rules)
      return `"\\"" ${repeat(this.#rules, anyCharacter(this.#rules), least, most)} "\\""`
    }
    const rule = this.#automaton(
      schema,
      this.#language(schema)!,
      formats[0] ?? `${name}-text`,
      schema.pattern ? 'pattern' : 'format',
    )
    return rule === undefined ? this.#impossible(schema, 'no text that fits') : `"\\"" ${rule} "\\""`
  }

  readonly #automata = new Map<Language, string | undefined>()

  #automaton(schema: Keywords, language: Language, name: string, keyword: string): string | undefined {
    if (this.#automata.has(language)) return this.#automata.get(language)
    try {
      const automaton = this.#regex.automaton(language)
      const rule = automaton && automatonRule(this.#rules, name, automaton, set => characterBody(this.#rules, set))
      this.#automata.set(language, rule)
      return rule
    } catch (error) {
      if (error instanceof TooManyStates)
        this.#unsupported(schema, keyword, `its automaton has ${error.message}; make it simpler or lower its counts`)
      throw error
    }
  }

  #array(schema: Keywords, name: string): string | undefined {
    const draft7 = Array.isArray(schema.items)
    const prefix = ((draft7 ? schema.items : schema.prefixItems) ?? []) as JsonSchema[]
    const rest = (draft7 ? schema.additionalItems : schema.items) as JsonSchema | undefined
    let [least, most] = this.#counts(schema, 'minItems', 'maxItems')
    if (schema.uniqueItems === true && most > 1)
      this.#unsupported(schema, 'uniqueItems', 'a grammar cannot compare items')
    // An array without `items` may hold anything; a tuple ends with its last declared item unless more are asked for.
    const more = rest ?? (prefix.length === 0 || least > prefix.length)
    const ws = gap(this.#rules)
    const items: string[] = []
    for (const item of prefix.slice(0, most)) {
      const rule = this.#rule(item, `${name}-item`, new Set())
      if (rule === undefined) break
      items.push(rule)
    }
    const all = items.length === Math.min(prefix.length, most)
    if (!all) most = items.length
    const restRule = most > items.length ? this.#rule(more, `${name}-item`, new Set()) : undefined
    if (restRule === undefined) most = Math.min(most, items.length)
    if (least > most) return this.#impossible(schema, 'fewer items are possible than minItems asks for')
    if (most === 0) return '"[]"'
    let body = ''
    if (restRule !== undefined) {
      const next = this.#rules.rule(`${name}-next`, `"," ${ws} ${restRule}`)
      const count = items.length
      if (count > 0) body = repeat(this.#rules, next, Math.max(0, least - count), most - count)
      else {
        const following = most === 1 ? '' : ` ${repeat(this.#rules, next, Math.max(0, least - 1), most - 1)}`
        body = `${restRule}${following}`
        if (least === 0) return `"[" ${ws} (${body} ${ws})? "]"`
      }
    }
    for (let index = items.length - 1; index >= 0; index--) {
      const item = index === 0 ? items[index]! : `"," ${ws} ${items[index]}`
      body = body === '' ? item : `${item} ${body}`
      if (index >= least) body = index === 0 ? `(${body} ${ws})?` : this.#rules.rule(`${name}-tail`, `| ${body}`)
    }
    return least === 0 ? `"[" ${ws} ${body} "]"` : `"[" ${ws} ${body} ${ws} "]"`
  }

  #object(schema: Keywords, name: string): string | undefined {
    const declared = (schema.properties ?? {}) as { [key: string]: JsonSchema }
    const required = new Set((schema.required ?? []) as string[])
    const extra = (schema.additionalProperties ?? false) as JsonSchema
    const names = schema.propertyNames === undefined ? undefined : this.#keyLanguage(schema.propertyNames as JsonSchema)
    const members: { rule: string; required: boolean }[] = []
    for (const key of new Set([...Object.keys(declared), ...required])) {
      // A required property that nothing declares may be anything, unless the additional ones have a schema.
      const inner = Object.hasOwn(declared, key)
        ? declared[key]!
        : ((schema.additionalProperties ?? true) as JsonSchema)
      const rule = names !== undefined && !this.#contains(names, key) ? undefined : this.#rule(inner, key, new Set())
      if (rule === undefined && required.has(key))
        return this.#impossible(schema, `no value for the required property ${JSON.stringify(key)} (${this.#conflict})`)
      if (rule === undefined) continue
      const body = `${literal(`${JSON.stringify(key)}:`)} ${space(this.#rules)} ${rule}`
      members.push({ rule: this.#rules.rule(`${name}-${key}`, body), required: required.has(key) })
    }
    const additional =
      extra === false
        ? undefined
        : this.#additional(schema, name, extra, names, [...Object.keys(declared), ...required])
    const least = Number(schema.minProperties ?? 0)
    const most = Number(schema.maxProperties ?? Number.POSITIVE_INFINITY)
    if (least > Math.max(1, required.size))
      this.#unsupported(schema, 'minProperties', 'a grammar cannot count properties')
    if (most < members.length || (additional !== undefined && most < Number.POSITIVE_INFINITY)) {
      this.#unsupported(schema, 'maxProperties', 'a grammar cannot count properties')
    }
    return this.#members(schema, name, members, additional, least > 0)
  }

  /** `"{" members "}"` with commas just between those that are there. */
  #members(
    schema: Keywords,
    name: string,
    members: { rule: string; required: boolean }[],
    additional: string | undefined,
    filled: boolean,
  ): string | undefined {
    const ws = gap(this.#rules)
    // What may follow a member, from the last one backwards; '' for nothing.
    let after = additional === undefined ? '' : `${this.#rules.rule(`${name}-more`, `"," ${ws} ${additional}`)}*`
    // Ways to begin, each with what may follow it.
    let begin = additional === undefined ? [] : [`${additional}${after === '' ? '' : ` ${after}`}`]
    let mayBeEmpty = true
    members.toReversed().forEach((member, index) => {
      const rest =
        after === '' ? '' : ` ${/^[a-z0-9-]+$/.test(after) ? after : this.#rules.rule(`${name}-rest`, after)}`
      const first = `${member.rule}${rest}`
      begin = member.required ? [first] : [first, ...begin]
      if (member.required) mayBeEmpty = false
      const next = `"," ${ws} ${member.rule}`
      after = member.required ? `${next}${rest}` : `(${next})?${rest}`
      // Nothing stands before the first member, so that what may follow there is never written.
      if (rest !== '' && index < members.length - 1) after = this.#rules.rule(`${name}-rest`, after)
    })
    if (begin.length === 0) return filled ? this.#impossible(schema, 'no property for minProperties') : `"{" ${ws} "}"`
    const body = begin.length === 1 ? begin[0]! : `(${begin.join(' | ')})`
    return mayBeEmpty && !filled ? `"{" ${ws} (${body} ${ws})? "}"` : `"{" ${ws} ${body} ${ws} "}"`
  }

  /** The rule of an additional property, whose name is none of the declared ones. */
  #additional(
    schema: Keywords,
    name: string,
    extra: JsonSchema,
    names: Language | undefined,
    taken: string[],
  ): string | undefined {
    const value = this.#rule(extra, `${name}-value`, new Set())
    if (value === undefined) return undefined
    let key: string | undefined
    if (taken.length === 0 && (names === undefined || names === this.#regex.anyText)) key = anyString(this.#rules)
    else {
      const regex = this.#regex
      const free = regex.not(regex.either(...taken.map(text => regex.text(text))))
      const rule = this.#automaton(
        schema,
        regex.both(free, names ?? regex.anyText),
        `${name}-key`,
        'additionalProperties',
      )
      if (rule === undefined) return undefined
      key = `"\\"" ${rule} "\\""`
    }
    return this.#rules.rule(`${name}-additional`, `${key} ":" ${space(this.#rules)} ${value}`)
  }

  #keyLanguage(schema: JsonSchema): Language {
    const regex = this.#regex
    const ways = this.#expand(schema, new Set()).map(way => {
      if (!typesOf(way).includes('string')) return regex.nothing
      if (way.enum === undefined && !Object.hasOwn(way, 'const')) return this.#language(way) ?? regex.anyText
      const values = (way.enum ?? [way.const]) as unknown[]
      return regex.either(
        ...values.flatMap(value =>
          typeof value === 'string' && this.#satisfies(value, way) ? [regex.text(value)] : [],
        ),
      )
    })
    return regex.either(...ways)
  }

  #contains(language: Language, text: string): boolean {
    let here = language
    for (const character of text) here = this.#regex.derive(here, character.codePointAt(0)!)
    return here.nullable
  }

  /** Refuses a `oneOf` of which a generated value might satisfy two branches. */
  #requireExclusive(schema: Keywords, branches: Keywords[][]): void {
    branches.forEach((mine, index) => {
      branches.forEach((theirs, other) => {
        if (index === other) return
        if (!mine.every(way => theirs.every(against => this.#excludes(way, against, 3)))) {
          this.#unsupported(
            schema,
            'oneOf',
            `a value may satisfy both ${index} and ${other}; tell them apart by a required property or a type, or use anyOf`,
          )
        }
      })
    })
  }

  /** Whether no value that is written for `mine` satisfies `theirs`; both are without combinators. */
  #excludes(mine: Keywords, theirs: Keywords, depth: number): boolean {
    const listed = (schema: Keywords): unknown[] | undefined =>
      Object.hasOwn(schema, 'const') ? [schema.const] : (schema.enum as unknown[] | undefined)
    const values = listed(mine)
    if (values !== undefined)
      return values.every(value => this.#satisfies(value, theirs) === false || this.#satisfies(value, mine) === false)
    const others = listed(theirs)
    if (others?.every(value => this.#satisfies(value, mine) === false)) return true
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
        const [a, b] = [this.#language(mine), this.#language(theirs)]
        if (a === undefined || b === undefined) return false
        try {
          return this.#regex.automaton(this.#regex.both(a, b)) === undefined
        } catch (error) {
          if (error instanceof TooManyStates) return false
          throw error
        }
      }
      if (type !== 'number' && type !== 'integer') return false
      const [a, b] = [this.#bounds(mine), this.#bounds(theirs)]
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
      const [a, b] = [this.#expand(x[key]!, new Set()), this.#expand(y[key]!, new Set())]
      return a.every(way => b.every(against => this.#excludes(way, against, depth - 1)))
    })
  }
}
