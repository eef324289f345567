/** Colours of the page in a browser; in a VS Code panel the editor's own theme stands. */
import type { Bridge } from './bridge.ts'

export type Theme = 'auto' | 'light' | 'dark' | 'contrast'
export const THEMES: Theme[] = ['auto', 'light', 'dark', 'contrast']

export function readTheme(bridge: Bridge): Theme {
  return THEMES.find(theme => theme === bridge.kept.get('theme')) ?? 'auto'
}

export function applyTheme(bridge: Bridge, theme: Theme): void {
  if (bridge.place === 'panel') return
  bridge.kept.set('theme', theme === 'auto' ? undefined : theme)
  const wanted = (query: string): boolean => matchMedia(query).matches
  const system = wanted('(prefers-contrast: more)')
    ? 'contrast'
    : wanted('(prefers-color-scheme: dark)')
      ? 'dark'
      : 'light'
  document.documentElement.dataset.theme = theme === 'auto' ? system : theme
}

/** Follows the system while nothing else is chosen. */
export function followSystem(bridge: Bridge): void {
  for (const query of ['(prefers-color-scheme: dark)', '(prefers-contrast: more)']) {
    matchMedia(query).addEventListener('change', () => applyTheme(bridge, readTheme(bridge)))
  }
}
