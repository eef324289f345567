/** JSON Schema to grammar rules: every constraint is enforced, or refused with the place where it stands. */
import type { JsonSchema } from '../wire/worker.ts'
import { SchemaCombiner } from './grammar_combine.ts'
import { SchemaDocument } from './grammar_document.ts'
import { anyCharacter, anyInteger, anyNumber, anyString, characterBody, gap, space, valueBody } from './grammar_json.ts'
import {
  equal,
  isAnnotation,
  isCombinator,
  type Keywords,
  NUMBER_FORMATS,
  ownKeywords,
  TYPES,
  type TypeName,
  typesOf,
} from './grammar_merge.ts'
import { integerBody, numberBody } from './grammar_number.ts'
import { automatonRule, type Language, TooManyStates } from './grammar_regex.ts'
import { literal, type Rules, repeat } from './grammar_text.ts'
import { SchemaValues, textFormats } from './grammar_values.ts'

type JsonRules = Rules & { anyValue(): string }

/** From so many listed texts on, an automaton is written in place of alternatives. */
const MANY_TEXTS = 8

/** One schema's way into a grammar. */
export class SchemaRules {
  readonly #rules: JsonRules
  readonly #document: SchemaDocument
  readonly #values: SchemaValues
  readonly #combiner: SchemaCombiner
  /** Rule by schema object; `null` for a schema that nothing satisfies. */
  readonly #made = new Map<object, string | null>()
  /** Names handed out for schemas whose rule is still being made. */
  readonly #reserved = new Map<object, string>()
  readonly #automata = new Map<Language, string | undefined>()

  constructor(rules: JsonRules, root: JsonSchema, param: string | undefined) {
    this.#rules = rules
    this.#document = new SchemaDocument(root, param)
    this.#values = new SchemaValues(this.#document)
    this.#combiner = new SchemaCombiner(this.#document, this.#values)
  }

  /** @throws HubError invalid_request */
  rule(name: string): string {
    const rule = this.#rule(this.#document.root, name, new Set())
    if (rule === undefined) this.#document.refuse(`Nothing satisfies the schema: ${this.#document.conflict}.`)
    return rule
  }

  /** `open` holds the schemas that are being read at this very character: to meet one again is a reference that goes in a circle. */
  #rule(schema: JsonSchema, name: string, open: Set<object>): string | undefined {
    if (schema === true) return this.#rules.anyValue()
    if (schema === false) {
      this.#document.conflict = 'a schema is `false`'
      return undefined
    }
    const made = this.#made.get(schema)
    if (made !== undefined) return made ?? undefined
    if (open.has(schema)) this.#document.refuse(`The reference at ${this.#document.at(schema)} leads back to itself.`)
    if (this.#reserved.has(schema)) {
      const known = this.#reserved.get(schema) || this.#rules.reserve(name)
      this.#reserved.set(schema, known)
      return known
    }
    this.#document.check(schema)
    if (this.#document.endless(schema, new Set())) {
      this.#made.set(schema, null)
      return this.#document.impossible(schema, 'a schema that requires itself without end')
    }
    this.#reserved.set(schema, '')
    const body = this.#body(schema, name, new Set([...open, schema]))
    const reserved = this.#reserved.get(schema)
    this.#reserved.delete(schema)
    if (body === undefined) {
      if (reserved) this.#document.refuse(`Nothing satisfies the schema: ${this.#document.conflict}.`)
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
        const target = this.#document.target(schema)
        return this.#rule(target, String(schema.$ref).split('/').at(-1) || name, open)
      }
      const branches = schema[only!] as JsonSchema[]
      if (only === 'anyOf') return this.#union(branches, name, open)
      if (only === 'oneOf') {
        this.#combiner.requireExclusive(
          schema,
          branches.map(branch => this.#combiner.expand(branch, open)),
        )
        return this.#union(branches, name, open)
      }
      if (branches.length === 1) return this.#rule(branches[0]!, name, open)
    }
    return this.#union(this.#combiner.expand(schema, open), name, open)
  }

  #union(ways: JsonSchema[], name: string, open: Set<object>): string | undefined {
    const bodies = new Set<string>()
    for (const way of ways) {
      const rule = this.#rule(way, name, open)
      if (rule !== undefined) bodies.add(rule)
    }
    return bodies.size === 0 ? undefined : [...bodies].join(' | ')
  }

  #simple(schema: Keywords, name: string): string | undefined {
    if (Object.keys(schema).every(isAnnotation)) return this.#rules.anyValue()
    if (schema.enum !== undefined || Object.hasOwn(schema, 'const')) return this.#listed(schema)
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
  #listed(schema: Keywords): string | undefined {
    const listed = (schema.enum ?? [schema.const]) as unknown[]
    const values = Object.hasOwn(schema, 'const') ? listed.filter(value => equal(value, schema.const)) : listed
    const fitting = values.filter(value => {
      const fits = this.#values.satisfies(value, schema)
      if (fits === undefined) {
        this.#document.unsupported(
          schema,
          schema.enum === undefined ? 'const' : 'enum',
          'a list or object stands beside other keywords',
        )
      }
      return fits
    })
    if (fitting.length === 0) return this.#document.impossible(schema, 'no listed value fits the other keywords')
    const texts = fitting.filter(value => typeof value === 'string')
    // Each alternative is a reading that the engine follows; an automaton of many texts is one reading.
    if (texts.length < MANY_TEXTS) return [...new Set(fitting.map(value => valueBody(this.#rules, value)))].join(' | ')
    const language = this.#values.regex.either(...texts.map(text => this.#values.regex.text(text)))
    const rule = this.#automaton(schema, language, 'choice', 'enum')
    const others = fitting.filter(value => typeof value !== 'string').map(value => valueBody(this.#rules, value))
    return [...(rule === undefined ? [] : [`"\\"" ${rule} "\\""`]), ...new Set(others)].join(' | ')
  }

  #number(schema: Keywords, type: 'integer' | 'number'): string | undefined {
    const integerFormat = [schema.format ?? []].flat().some(format => Object.hasOwn(NUMBER_FORMATS, String(format)))
    const whole = type === 'integer' || schema.multipleOf === 1 || integerFormat
    const bounds = this.#values.bounds(schema)
    if (bounds.min === undefined && bounds.max === undefined)
      return whole ? anyInteger(this.#rules) : anyNumber(this.#rules)
    const keyword = ['minimum', 'exclusiveMinimum', 'maximum', 'exclusiveMaximum'].find(
      word => schema[word] !== undefined,
    )
    try {
      const body = whole ? integerBody(bounds) : numberBody(bounds)
      return body ?? this.#document.impossible(schema, `no ${whole ? 'integer' : 'number'} within the bounds`)
    } catch (error) {
      if (error instanceof RangeError) this.#document.unsupported(schema, keyword ?? 'format', error.message)
      throw error
    }
  }

  #string(schema: Keywords, name: string): string | undefined {
    const formats = textFormats(schema)
    if (schema.pattern === undefined && formats.length === 0) {
      const [least, most] = this.#values.counts(schema, 'minLength', 'maxLength')
      if (least > most) return this.#document.impossible(schema, 'minLength above maxLength')
      if (least === 0 && most === Number.POSITIVE_INFINITY) return anyString(this.#rules)
      return `"\\"" ${repeat(this.#rules, anyCharacter(this.#rules), least, most)} "\\""`
    }
    const rule = this.#automaton(
      schema,
      this.#values.language(schema)!,
      formats[0] ?? `${name}-text`,
      schema.pattern ? 'pattern' : 'format',
    )
    return rule === undefined ? this.#document.impossible(schema, 'no text that fits') : `"\\"" ${rule} "\\""`
  }

  #automaton(schema: Keywords, language: Language, name: string, keyword: string): string | undefined {
    if (this.#automata.has(language)) return this.#automata.get(language)
    try {
      const automaton = this.#values.regex.automaton(language)
      const rule = automaton && automatonRule(this.#rules, name, automaton, set => characterBody(this.#rules, set))
      this.#automata.set(language, rule)
      return rule
    } catch (error) {
      if (error instanceof TooManyStates)
        this.#document.unsupported(
          schema,
          keyword,
          `its automaton has ${error.message}; make it simpler or lower its counts`,
        )
      throw error
    }
  }

  #array(schema: Keywords, name: string): string | undefined {
    const draft7 = Array.isArray(schema.items)
    const prefix = ((draft7 ? schema.items : schema.prefixItems) ?? []) as JsonSchema[]
    const rest = (draft7 ? schema.additionalItems : schema.items) as JsonSchema | undefined
    let [least, most] = this.#values.counts(schema, 'minItems', 'maxItems')
    if (schema.uniqueItems === true && most > 1)
      this.#document.unsupported(schema, 'uniqueItems', 'a grammar cannot compare items')
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
    if (least > most) return this.#document.impossible(schema, 'fewer items are possible than minItems asks for')
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
    const names =
      schema.propertyNames === undefined ? undefined : this.#combiner.keyLanguage(schema.propertyNames as JsonSchema)
    const members: { rule: string; required: boolean }[] = []
    for (const key of new Set([...Object.keys(declared), ...required])) {
      // A required property that nothing declares may be anything, unless the additional ones have a schema.
      const inner = Object.hasOwn(declared, key)
        ? declared[key]!
        : ((schema.additionalProperties ?? true) as JsonSchema)
      const rule =
        names !== undefined && !this.#values.contains(names, key) ? undefined : this.#rule(inner, key, new Set())
      if (rule === undefined && required.has(key))
        return this.#document.impossible(
          schema,
          `no value for the required property ${JSON.stringify(key)} (${this.#document.conflict})`,
        )
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
      this.#document.unsupported(schema, 'minProperties', 'a grammar cannot count properties')
    if (most < members.length || (additional !== undefined && most < Number.POSITIVE_INFINITY)) {
      this.#document.unsupported(schema, 'maxProperties', 'a grammar cannot count properties')
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
    if (begin.length === 0)
      return filled ? this.#document.impossible(schema, 'no property for minProperties') : `"{" ${ws} "}"`
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
    if (taken.length === 0 && (names === undefined || names === this.#values.regex.anyText))
      key = anyString(this.#rules)
    else {
      const regex = this.#values.regex
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
}
