/**
 * Regular languages with intersection and complement, made into automata by derivatives (Brzozowski 1964; Owens, Reppy, Turon 2009).
 * An automaton gives a grammar with one reading at every character, however the pattern was written.
 */
import { ALL, type CodePoints, complement, intersection, type Rules, union } from './grammar_text.ts'

/** A language. Equal ones of one algebra are (mostly) the same object. */
export type Language = {
  readonly id: number
  /** Contains the empty text. */
  readonly nullable: boolean
  readonly kind: Kind
}
type Kind =
  | { type: 'nothing' | 'empty' }
  | { type: 'set'; set: CodePoints }
  | { type: 'sequence'; first: Language; rest: Language }
  | { type: 'either' | 'both'; parts: readonly Language[] }
  | { type: 'not'; of: Language }
  | { type: 'repeat'; of: Language; min: number; max: number }

/** Steps of derivation that one algebra makes at most; a pattern that needs more is built to need them. */
const MAX_STEPS = 5_000_000

/** Thrown when an automaton would be larger than the limit. */
export class TooManyStates extends RangeError {}

export class RegexAlgebra {
  readonly #known = new Map<string, Language>()
  #steps = 0
  readonly nothing: Language = this.#make('nothing', false, { type: 'nothing' })
  readonly empty: Language = this.#make('empty', true, { type: 'empty' })
  readonly anyText: Language = this.repeat(this.set(ALL), 0, Number.POSITIVE_INFINITY)

  #make(key: string, nullable: boolean, kind: Kind): Language {
    const known = this.#known.get(key)
    if (known !== undefined) return known
    const made = { id: this.#known.size, nullable, kind }
    this.#known.set(key, made)
    return made
  }

  set(set: CodePoints): Language {
    if (set.length === 0) return this.nothing
    return this.#make(`set ${set.join(';')}`, false, { type: 'set', set })
  }

  text(text: string): Language {
    return [...text].reduceRight<Language>((rest, character) => {
      const code = character.codePointAt(0)!
      return this.sequence(this.set([[code, code]]), rest)
    }, this.empty)
  }

  sequence(first: Language, rest: Language): Language {
    if (first === this.nothing || rest === this.nothing) return this.nothing
    if (first === this.empty) return rest
    if (rest === this.empty) return first
    if (first.kind.type === 'sequence') return this.sequence(first.kind.first, this.sequence(first.kind.rest, rest))
    return this.#make(`seq ${first.id} ${rest.id}`, first.nullable && rest.nullable, { type: 'sequence', first, rest })
  }

  either(...languages: Language[]): Language {
    const parts = new Set<Language>()
    let set: CodePoints = []
    const add = (language: Language) => {
      if (language.kind.type === 'either') for (const part of language.kind.parts) add(part)
      else if (language.kind.type === 'set') set = union(set, language.kind.set)
      else if (language !== this.nothing) parts.add(language)
    }
    for (const language of languages) add(language)
    if (set.length > 0) parts.add(this.set(set))
    if (parts.has(this.anyText)) return this.anyText
    const list = [...parts].sort((a, b) => a.id - b.id)
    if (list.length === 0) return this.nothing
    if (list.length === 1) return list[0]!
    const nullable = list.some(part => part.nullable)
    return this.#make(`or ${list.map(part => part.id)}`, nullable, { type: 'either', parts: list })
  }

  both(...languages: Language[]): Language {
    const parts = new Set<Language>()
    const add = (language: Language) => {
      if (language.kind.type === 'both') for (const part of language.kind.parts) add(part)
      else if (language !== this.anyText) parts.add(language)
    }
    for (const language of languages) add(language)
    if (parts.has(this.nothing)) return this.nothing
    const list = [...parts].sort((a, b) => a.id - b.id)
    if (list.length === 0) return this.anyText
    if (list.length === 1) return list[0]!
    const nullable = list.every(part => part.nullable)
    if (parts.has(this.empty)) return nullable ? this.empty : this.nothing
    return this.#make(`and ${list.map(part => part.id)}`, nullable, { type: 'both', parts: list })
  }

  not(of: Language): Language {
    if (of.kind.type === 'not') return of.kind.of
    if (of === this.nothing) return this.anyText
    if (of === this.anyText) return this.nothing
    return this.#make(`not ${of.id}`, !of.nullable, { type: 'not', of })
  }

  repeat(of: Language, min: number, max: number): Language {
    if (max === 0 || of === this.empty) return this.empty
    if (of === this.nothing) return min === 0 ? this.empty : this.nothing
    // Each turn may be empty, so that fewer turns are as good as none at all.
    const least = of.nullable ? 0 : min
    if (least === 1 && max === 1) return of
    if (of.kind.type === 'repeat' && of.kind.min === 0 && of.kind.max === Number.POSITIVE_INFINITY) return of
    return this.#make(`times ${of.id} ${least} ${max}`, least === 0, { type: 'repeat', of, min: least, max })
  }

  /** What may follow the character. */
  derive(language: Language, code: number): Language {
    const { kind } = language
    if (++this.#steps > MAX_STEPS) throw new TooManyStates('more than 4000 states')
    switch (kind.type) {
      case 'nothing':
      case 'empty':
        return this.nothing
      case 'set':
        return kind.set.some(([a, b]) => a <= code && code <= b) ? this.empty : this.nothing
      case 'sequence': {
        const here = this.sequence(this.derive(kind.first, code), kind.rest)
        return kind.first.nullable ? this.either(here, this.derive(kind.rest, code)) : here
      }
      case 'either':
        return this.either(...kind.parts.map(part => this.derive(part, code)))
      case 'both':
        return this.both(...kind.parts.map(part => this.derive(part, code)))
      case 'not':
        return this.not(this.derive(kind.of, code))
      case 'repeat':
        return this.sequence(this.derive(kind.of, code), this.repeat(kind.of, Math.max(0, kind.min - 1), kind.max - 1))
    }
  }

  /** The sets that the first character is compared with. */
  #firstSets(language: Language, into: Set<CodePoints>): void {
    const { kind } = language
    if (kind.type === 'set') into.add(kind.set)
    else if (kind.type === 'sequence') {
      this.#firstSets(kind.first, into)
      if (kind.first.nullable) this.#firstSets(kind.rest, into)
    } else if (kind.type === 'either' || kind.type === 'both') {
      for (const part of kind.parts) this.#firstSets(part, into)
    } else if (kind.type === 'not' || kind.type === 'repeat') this.#firstSets(kind.of, into)
  }

  /** All characters in classes that the language cannot tell apart at its start. */
  #classes(language: Language): CodePoints[] {
    const sets = new Set<CodePoints>()
    this.#firstSets(language, sets)
    let classes: CodePoints[] = [ALL]
    for (const set of sets) {
      const outside = complement(set)
      classes = classes
        .flatMap(part => [intersection(part, set), intersection(part, outside)])
        .filter(x => x.length > 0)
    }
    return classes
  }

  /**
   * The automaton; every state of it can still reach the end. Undefined when the language is empty.
   * @throws TooManyStates
   */
  automaton(language: Language, limit = 4000): Automaton | undefined {
    const numbers = new Map<Language, number>([[language, 0]])
    const order = [language]
    const moves: Map<number, CodePoints>[] = []
    for (let at = 0; at < order.length; at++) {
      const state = order[at]!
      const to = new Map<number, CodePoints>()
      for (const part of this.#classes(state)) {
        const next = this.derive(state, part[0]![0])
        if (next === this.nothing) continue
        let number = numbers.get(next)
        if (number === undefined) {
          number = order.push(next) - 1
          if (order.length > limit) throw new TooManyStates(`more than ${limit} states`)
          numbers.set(next, number)
        }
        to.set(number, union(to.get(number) ?? [], part))
      }
      moves.push(to)
    }
    const sources: number[][] = order.map(() => [])
    moves.forEach((to, from) => {
      for (const next of to.keys()) sources[next]!.push(from)
    })
    const live = new Set<number>()
    const todo = order.flatMap((state, number) => (state.nullable ? [number] : []))
    for (let number = todo.pop(); number !== undefined; number = todo.pop()) {
      if (live.has(number)) continue
      live.add(number)
      todo.push(...sources[number]!)
    }
    if (!live.has(0)) return undefined
    return order.map((state, number) => ({
      accepts: state.nullable,
      live: live.has(number),
      moves: [...moves[number]!].filter(([next]) => live.has(next)),
    }))
  }
}

/** States; the first is the start. */
export type Automaton = { accepts: boolean; live: boolean; moves: [to: number, on: CodePoints][] }[]

/**
 * Writes the automaton as right-linear rules and gives the start rule's name.
 * `character` writes the body that matches one character of a set.
 */
export function automatonRule(
  rules: Rules,
  name: string,
  automaton: Automaton,
  character: (set: CodePoints) => string,
): string {
  // A state after which nothing comes needs no rule, unless it is the start.
  const written = (number: number): boolean => {
    const state = automaton[number]!
    return number === 0 || (state.live && state.moves.length > 0)
  }
  const names = automaton.map((_, number) => (written(number) ? rules.reserve(name) : ''))
  automaton.forEach((state, number) => {
    if (!written(number)) return
    const ways = state.moves.map(([to, on]) => {
      return written(to) ? `${character(on)} ${names[to]}` : character(on)
    })
    if (state.accepts) ways.unshift('""')
    rules.define(names[number]!, ways.join(' | '))
  })
  return names[0]!
}
