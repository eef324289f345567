/** Every word of the pages, in English and Vietnamese. */
import { createContext, useContext } from 'react'
import { en, type Texts } from './texts_en.ts'
import { vi } from './texts_vi.ts'

export type Language = 'en' | 'vi'
export const LANGUAGES: { [language in Language]: Texts } = { en, vi }

/** @param wanted what the browser or the editor is set to, the best first */
export function chooseLanguage(wanted: readonly string[]): Language {
  const first = wanted.map(tag => tag.slice(0, 2).toLowerCase()).find(tag => tag === 'vi' || tag === 'en')
  return first === 'vi' ? 'vi' : 'en'
}

export const LanguageContext = createContext<Language>('en')
export const useLanguage = (): Language => useContext(LanguageContext)
export const useText = (): Texts => LANGUAGES[useLanguage()]

/** With one digit behind the sign that the language has for it: `12.5`, `12,5`. */
export const decimal = (value: number, language: string): string =>
  value.toLocaleString(language, { minimumFractionDigits: 1, maximumFractionDigits: 1 })

/** @param bytes as a person reads it: `1.2 GB` */
export function sizeText(bytes: number, language: string): string {
  if (bytes < 1e6) return `${Math.max(1, Math.round(bytes / 1e3))} KB`
  if (bytes < 1e9) return `${Math.round(bytes / 1e6)} MB`
  return `${decimal(bytes / 1e9, language)} GB`
}

/** @param seconds in one unit, as a person says it: `40 s`, `12 min`, `3 h` */
export function durationText(seconds: number, t: Texts): string {
  if (seconds < 90) return t.seconds(Math.max(1, Math.round(seconds)))
  return seconds < 5400 ? t.minutes(Math.round(seconds / 60)) : t.hours(Math.round(seconds / 3600))
}
