/** The choices of every page: its language, and in a browser its colours. */
import { useState } from 'react'
import { applyTheme, readTheme, THEMES, type Theme } from './appearance.ts'
import type { Bridge } from './bridge.ts'
import { ForgetKey } from './key_dialog.tsx'
import { type Language, useText } from './texts.ts'

export function Preferences(props: { bridge: Bridge; language: Language; setLanguage(language: Language): void }) {
  const { bridge, language, setLanguage } = props
  const t = useText()
  const [theme, setTheme] = useState<Theme>(() => readTheme(bridge))
  return (
    <>
      <select
        aria-label={t.language}
        title={t.language}
        value={language}
        onChange={event => setLanguage(event.target.value === 'vi' ? 'vi' : 'en')}
      >
        <option value="en">English</option>
        <option value="vi">Tiếng Việt</option>
      </select>
      {bridge.place === 'browser' && (
        <select
          aria-label={t.theme}
          title={t.theme}
          value={theme}
          onChange={event => {
            const chosen = event.target.value as Theme
            setTheme(chosen)
            applyTheme(bridge, chosen)
          }}
        >
          {THEMES.map(each => (
            <option key={each} value={each}>
              {t.themes[each]}
            </option>
          ))}
        </select>
      )}
      {bridge.access !== undefined && <ForgetKey access={bridge.access} />}
    </>
  )
}
