/** Numbers as a person reads them, in the language of the page. */
import { type Language, useLanguage } from '../texts.ts'

const LOCALES: { [language in Language]: string } = { en: 'en-GB', vi: 'vi-VN' }

export type Figures = {
  count(value: number): string
  percent(part: number): string
  /** `23`, `8.4`, `0.52`: three digits that mean something. */
  rate(value: number): string
  /** `850 ms`, `2.4 s`, `3 min 20 s` */
  duration(ms: number): string
  /** `3 d 4 h`, `2 h 5 min`, `12 min`, `40 s` */
  uptime(seconds: number): string
  /** Of a day, with seconds. */
  time(atMs: number): string
  minute(atMs: number): string
  dateTime(atMs: number): string
  /** Bytes as `1.2 GB`. */
  size(bytes: number): string
}

export function figuresOf(language: Language): Figures {
  const locale = LOCALES[language]
  const whole = new Intl.NumberFormat(locale, { maximumFractionDigits: 0 })
  const one = new Intl.NumberFormat(locale, { maximumFractionDigits: 1 })
  const two = new Intl.NumberFormat(locale, { maximumFractionDigits: 2 })
  const percent = new Intl.NumberFormat(locale, { style: 'percent', maximumFractionDigits: 0 })
  const time = new Intl.DateTimeFormat(locale, { hour: '2-digit', minute: '2-digit', second: '2-digit' })
  const minutes = new Intl.DateTimeFormat(locale, { hour: '2-digit', minute: '2-digit' })
  const dateTime = new Intl.DateTimeFormat(locale, { dateStyle: 'medium', timeStyle: 'short' })
  const [second, minute, hour, day] = language === 'vi' ? ['giây', 'phút', 'giờ', 'ngày'] : ['s', 'min', 'h', 'd']
  const rate = (value: number): string => (value >= 100 ? whole : value >= 1 ? one : two).format(value)
  const pair = (first: number, unit: string | undefined, second: number, smaller: string | undefined): string =>
    second === 0 ? `${first} ${unit}` : `${first} ${unit} ${second} ${smaller}`
  return {
    count: value => whole.format(value),
    percent: part => percent.format(part),
    rate,
    duration(ms) {
      if (ms < 1000) return `${whole.format(Math.max(0, Math.round(ms)))} ms`
      if (ms < 60_000) return `${one.format(ms / 1000)} ${second}`
      const seconds = Math.round(ms / 1000)
      return pair(Math.floor(seconds / 60), minute, seconds % 60, second)
    },
    uptime(seconds) {
      const whole = Math.floor(seconds / 60)
      if (whole < 1) return `${Math.max(0, Math.floor(seconds))} ${second}`
      if (whole < 60) return `${whole} ${minute}`
      const hours = Math.floor(whole / 60)
      if (hours < 24) return pair(hours, hour, whole % 60, minute)
      return pair(Math.floor(hours / 24), day, hours % 24, hour)
    },
    time: atMs => time.format(atMs),
    minute: atMs => minutes.format(atMs),
    dateTime: atMs => dateTime.format(atMs),
    size(bytes) {
      if (bytes === 0) return '0'
      if (bytes < 1e6) return `${whole.format(Math.max(1, Math.round(bytes / 1e3)))} KB`
      if (bytes < 1e9) return `${whole.format(bytes / 1e6)} MB`
      return `${(bytes < 1e11 ? one : whole).format(bytes / 1e9)} GB`
    },
  }
}

const KNOWN: { [language in Language]?: Figures } = {}

export function useFigures(): Figures {
  const language = useLanguage()
  KNOWN[language] ??= figuresOf(language)
  return KNOWN[language]
}
