/** What the keywords of one schema say about single values: texts, numbers, and whether a given value fits. */
import type { SchemaDocument } from './grammar_document.ts'
import { equal, isAnnotation, type Keywords, NUMBER_FORMATS, typeOfValue, typesOf } from './grammar_merge.ts'
import type { Bounds } from './grammar_number.ts'
import { FORMAT_NAMES, formatLanguage, PatternRefused, patternLanguage } from './grammar_pattern.ts'
import { type Language, RegexAlgebra } from './grammar_regex.ts'
import { ALL, MAX_REPEAT } from './grammar_text.ts'

/** Formats that describe how a value is shown or stored and not which texts are valid. */
const PLAIN_FORMATS: ReadonlySet<string> = new Set(['password', 'text', 'markdown', 'html', 'textarea', 'multiline'])

/** The formats that say which texts are valid. */
export function textFormats(schema: Keywords): string[] {
  return ([schema.format ?? []].flat() as string[]).filter(format => !PLAIN_FORMATS.has(format))
}

export class SchemaValues {
  readonly #document: SchemaDocument
  readonly regex = new RegexAlgebra()

  constructor(document: SchemaDocument) {
    this.#document = document
  }

  /** Whether a value satisfies a schema without combinators; undefined when that is not known. */
  satisfies(value: unknown, schema: Keywords): boolean | undefined {
    const type = typeOfValue(value)
    if (schema.type !== undefined) {
      const types = typesOf(schema)
      if (!types.includes(type) && !(type === 'integer' && types.includes('number'))) return false
    }
    if (schema.enum !== undefined && !(schema.enum as unknown[]).some(other => equal(other, value))) return false
    if (Object.hasOwn(schema, 'const') && !equal(schema.const, value)) return false
    if (typeof value === 'string') {
      const language = this.language(schema)
      return language === undefined || this.contains(language, value)
    }
    if (typeof value === 'number') {
      const bounds = this.bounds(schema)
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

  /** The interval that the keywords and the format of a number give. */
  bounds(schema: Keywords): Bounds {
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

  /** The texts that `pattern`, `format` and the lengths allow; undefined when no pattern or format bears on strings. */
  language(schema: Keywords): Language | undefined {
    const regex = this.regex
    const parts: Language[] = []
    for (const pattern of [schema.pattern ?? []].flat() as string[]) {
      try {
        parts.push(patternLanguage(regex, pattern))
      } catch (error) {
        if (error instanceof PatternRefused)
          this.#document.unsupported(schema, 'pattern', `${JSON.stringify(pattern)} uses ${error.message}`)
        throw error
      }
    }
    for (const format of textFormats(schema)) {
      const language = formatLanguage(regex, format)
      if (language === undefined)
        this.#document.unsupported(schema, 'format', `"${format}" is none of ${FORMAT_NAMES.join(', ')}`)
      parts.push(language)
    }
    const [least, most] = this.counts(schema, 'minLength', 'maxLength')
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

  /** Two bounds of a count; Infinity for none. */
  counts(schema: Keywords, min: string, max: string): [number, number] {
    const counts = [schema[min] ?? 0, schema[max] ?? Number.POSITIVE_INFINITY] as [number, number]
    if (counts[0] > MAX_REPEAT) this.#document.unsupported(schema, min, `it is above ${MAX_REPEAT}`)
    // What is longer than this is longer than any context, so that the bound never bites.
    if (counts[1] > MAX_REPEAT) counts[1] = Number.POSITIVE_INFINITY
    return counts
  }

  contains(language: Language, text: string): boolean {
    let here = language
    for (const character of text) here = this.regex.derive(here, character.codePointAt(0)!)
    return here.nullable
  }
}
