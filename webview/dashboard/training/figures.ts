/** Figures as a person reads them. */

export function count(value: number, locale: string): string {
  return value.toLocaleString(locale, { maximumFractionDigits: 0 })
}

/** Three digits that count, whatever its size: 2.34, 0.0123, 2e-4. */
export function figure(value: number, locale: string): string {
  if (!Number.isFinite(value)) return '–'
  const size = Math.abs(value)
  if (size !== 0 && size < 0.001) {
    const [digits, power] = value.toExponential(2).split('e')
    return `${Number(digits).toLocaleString(locale)}e${power}`
  }
  return value.toLocaleString(locale, { maximumSignificantDigits: size >= 1000 ? 4 : 3 })
}

/** With its sign, so that a difference shows its direction. */
export function signed(value: number, locale: string): string {
  const text = figure(Math.abs(value), locale)
  return value > 0 ? `+${text}` : value < 0 ? `−${text}` : text
}

export function percent(share: number, locale: string): string {
  if (share > 0 && share < 0.001) return `<${(0.1).toLocaleString(locale)}%`
  return `${(share * 100).toLocaleString(locale, { maximumFractionDigits: 1 })}%`
}

/** `3 h 12 min`, `4 min 10 s`, `8 s`: short forms that both languages share. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds))
  if (whole < 60) return `${whole} s`
  if (whole < 3600) return whole % 60 === 0 ? `${whole / 60} min` : `${Math.floor(whole / 60)} min ${whole % 60} s`
  const minutes = Math.round(whole / 60)
  return minutes % 60 === 0 ? `${minutes / 60} h` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`
}

export function moment(ms: number, locale: string): string {
  return new Date(ms).toLocaleString(locale, { dateStyle: 'medium', timeStyle: 'short' })
}
