/** Grammars (GBNF) that make the sampler write only JSON that satisfies a schema, or only text that a protocol allows. */
import { HubError } from '../lib/error.ts'
import type { JsonSchema } from '../wire/worker.ts'
import { anyRules } from './grammar_json.ts'
import { automatonRule, RegexAlgebra } from './grammar_regex.ts'
import { SchemaRules } from './grammar_schema.ts'
import { charClass, literal } from './grammar_text.ts'

export { literal }

/** The engine copies a grammar for every choice of a request; nothing sensible is larger. */
const MAX_RULES = 20_000

/** Collects GBNF rules; names are unique and valid ([a-z0-9-]+). */
export class GrammarBuilder {
  /** Body by name; `undefined` while a reserved rule waits for its body. */
  readonly #bodies = new Map<string, string | undefined>()
  readonly #byBody = new Map<string, string>()
  /** Next number to try for a name that is taken. */
  readonly #numbers = new Map<string, number>()
  #any: { value: string; object: string } | undefined

  /** Adds a rule (name made unique) and gives back its name for use in other bodies. Same name and same body are the same rule. */
  rule(name: string, body: string): string {
    const base = cleanName(name)
    const key = `${base} ${body}`
    const known = this.#byBody.get(key)
    if (known !== undefined) return known
    const made = this.reserve(base)
    this.#byBody.set(key, made)
    this.#bodies.set(made, body)
    return made
  }

  /** A name for a rule that is defined later, so that rules may be recursive. */
  reserve(name: string): string {
    const base = cleanName(name)
    let free = base
    // `root` is the start rule that `build` writes.
    for (let number = this.#numbers.get(base) ?? 1; free === 'root' || this.#bodies.has(free); number++) {
      free = `${base}-${number}`
      this.#numbers.set(base, number + 1)
    }
    if (this.#bodies.size >= MAX_RULES) {
      throw new HubError('invalid_request', `The grammar would have more than ${MAX_RULES} rules; simplify the schema.`)
    }
    this.#bodies.set(free, undefined)
    return free
  }

  /** Gives a reserved rule its body. */
  define(name: string, body: string): void {
    if (!this.#bodies.has(name) || this.#bodies.get(name) !== undefined) {
      throw new HubError('internal', `The grammar rule "${name}" was not reserved or is defined twice.`)
    }
    this.#bodies.set(name, body)
  }

  /**
   * Adds the rules for a JSON value that satisfies the schema; gives back the rule's name. References are resolved in the schema itself.
   *
   * What is written is a part of what the schema allows: properties come in the schema's order, additional ones only where
   * `additionalProperties` says so (absent means none), strings of a `pattern` or `format` and integers in their plain spelling,
   * white space bounded. Every constraint is enforced or refused.
   * @throws HubError invalid_request, naming the JSON pointer of the keyword that is unsupported or that nothing can satisfy
   */
  schema(schema: JsonSchema, name: string, options: { param?: string } = {}): string {
    try {
      return new SchemaRules(this, schema, options.param).rule(name)
    } catch (error) {
      if (!(error instanceof RangeError)) throw error
      // What is left of these is the call stack: references that lead from one to the next a few thousand times.
      const place = options.param === undefined ? {} : { param: options.param }
      throw new HubError('invalid_request', 'The JSON schema is too large or too deep for a grammar.', place)
    }
  }

  /** Any JSON value. */
  anyValue(): string {
    this.#any ??= anyRules(this)
    return this.#any.value
  }

  /** Any JSON object. */
  anyObject(): string {
    this.#any ??= anyRules(this)
    return this.#any.object
  }

  /** The whole grammar with `root ::= <body>` first. */
  build(root: string): string {
    const lines = [`root ::= ${root}`]
    for (const [name, body] of this.#bodies) {
      if (body === undefined) throw new HubError('internal', `The grammar rule "${name}" has no body.`)
      lines.push(`${name} ::= ${body}`)
    }
    return `${lines.join('\n')}\n`
  }
}

function cleanName(name: string): string {
  const clean = name
    .toLowerCase()
    .replace(/[^a-z0-9-]+/g, '-')
    .slice(0, 40)
    .replace(/^-+|-+$/g, '')
  return clean === '' ? 'rule' : clean
}

/** The grammar of a JSON value that satisfies the schema; see GrammarBuilder.schema. `param` names the request's field in errors. */
export function schemaToGrammar(schema: JsonSchema, param?: string): string {
  const builder = new GrammarBuilder()
  return builder.build(builder.schema(schema, 'answer', param === undefined ? {} : { param }))
}

/** The grammar of any JSON object. */
export function jsonObjectGrammar(): string {
  const builder = new GrammarBuilder()
  return builder.build(builder.anyObject())
}

/** Body that matches any text (also the empty one) that does not contain `end`. */
export function anyTextUntil(end: string, builder: GrammarBuilder): string {
  const regex = new RegexAlgebra()
  const found = regex.sequence(regex.anyText, regex.sequence(regex.text(end), regex.anyText))
  const automaton = regex.automaton(regex.not(found))
  if (automaton === undefined) throw new HubError('internal', 'Every text contains the empty text; an end is needed.')
  return automatonRule(builder, 'text', automaton, charClass)
}
