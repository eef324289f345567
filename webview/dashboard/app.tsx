/** The dashboard: the list of its parts, and the one that the route names. */
import { lazy, type ReactNode, Suspense, useEffect, useMemo, useRef, useState, useSyncExternalStore } from 'react'
import type { Bridge } from '../bridge.ts'
import type { Hub } from '../hub_state.ts'
import { Icon, IconButton, type IconName } from '../icons.tsx'
import { KeyDialog } from '../key_dialog.tsx'
import { PageLink } from '../page_link.tsx'
import { Preferences } from '../preferences.tsx'
import { useStore } from '../store.ts'
import { chooseLanguage, LANGUAGES, type Language, LanguageContext } from '../texts.ts'
import { useModelActions } from './actions.ts'
import type { Known } from './known.ts'
import type { Live } from './live.ts'
import { ModelsTab } from './models_tab.tsx'
import { OverviewTab } from './overview_tab.tsx'
import type { Parts } from './parts.ts'
import { RequestsTab } from './requests_tab.tsx'
import { SettingsTab } from './settings_tab.tsx'
import { SystemTab } from './system_tab.tsx'
import { readRoute, TABS, type Tab, writeRoute } from './tabs.ts'
import { DASHBOARD_TEXTS } from './texts.ts'

const TrainingHalf = lazy(() => import('./training/all.tsx').then(({ TrainingHalf }) => ({ default: TrainingHalf })))

const isTraining = (tab: Tab): boolean => tab === 'training' || tab === 'datasets' || tab === 'adapters'

const ICONS: { [tab in Tab]: IconName } = {
  overview: 'gauge',
  models: 'chip',
  requests: 'list',
  training: 'curve',
  datasets: 'stack',
  adapters: 'plug',
  settings: 'options',
  system: 'info',
}

export function App({ bridge, hub, live, known }: { bridge: Bridge; hub: Hub; live: Live; known: Known }) {
  const [language, setLanguage] = useState<Language>(() =>
    chooseLanguage([bridge.kept.get('language') ?? '', ...bridge.languages]),
  )
  const [menu, setMenu] = useState(false)
  const main = useRef<HTMLElement>(null)
  const route = useSyncExternalStore(bridge.route.listen, bridge.route.get)
  const { tab, rest } = readRoute(route)
  const t = LANGUAGES[language]
  const d = DASHBOARD_TEXTS[language]
  const lost = useStore(hub, state => state.lost)
  const connected = useStore(hub, state => state.connected)
  const acting = useModelActions(bridge, hub.refresh)
  const parts: Parts = useMemo(
    () => ({
      bridge,
      hub,
      live,
      known,
      acting,
      rest,
      go(to, behind) {
        bridge.route.set(writeRoute(to, behind))
        // What was clicked may be gone with the tab that it stood in.
        main.current?.focus()
      },
    }),
    [bridge, hub, live, known, acting, rest],
  )

  useEffect(() => {
    if (!connected) return
    void live.read()
    void known.read()
  }, [connected, live, known])

  useEffect(() => {
    document.documentElement.lang = language
    document.title = `${d.tabs[tab]} – AI Backend Hub`
  }, [language, d, tab])

  useEffect(() => {
    const press = (event: KeyboardEvent): void => {
      if (event.key === 'Escape' && !document.querySelector('dialog[open]')) setMenu(false)
    }
    addEventListener('keydown', press)
    return () => removeEventListener('keydown', press)
  }, [])

  return (
    <LanguageContext value={language}>
      <button type="button" className="skip" onClick={() => main.current?.focus()}>
        {d.skip}
      </button>
      <div className={`app dashboard ${menu ? 'menu-open' : ''}`}>
        <nav className="sidebar" aria-label={d.menu}>
          <div className="sidebar-head">
            <span className="product">AI Backend Hub</span>
            <IconButton icon="close" label={t.close} className="menu-button" onClick={() => setMenu(false)} />
          </div>
          <ul className="tabs">
            {TABS.map(each => (
              <li key={each}>
                <button
                  type="button"
                  className="tab"
                  aria-current={each === tab ? 'page' : undefined}
                  onClick={() => {
                    parts.go(each)
                    setMenu(false)
                  }}
                >
                  <Icon name={ICONS[each]} />
                  {d.tabs[each]}
                </button>
              </li>
            ))}
          </ul>
          <div className="sidebar-foot">
            <Preferences
              bridge={bridge}
              language={language}
              setLanguage={chosen => {
                bridge.kept.set('language', chosen)
                setLanguage(chosen)
              }}
            />
            <PageLink bridge={bridge} to="chat">
              {t.chat}
            </PageLink>
            {bridge.place === 'browser' && (
              <PageLink bridge={bridge} to="docs">
                {t.apiDocs}
              </PageLink>
            )}
          </div>
        </nav>
        {menu && <button type="button" className="curtain" aria-label={t.close} onClick={() => setMenu(false)} />}
        <main ref={main} tabIndex={-1}>
          <header>
            <IconButton icon="menu" label={d.menu} className="menu-button" onClick={() => setMenu(true)} />
            <h1>{d.tabs[tab]}</h1>
          </header>
          <div role="status">
            {lost && (
              <p className="notice warning">
                <strong>{t.offline}</strong> {t.offlineHint}
              </p>
            )}
          </div>
          <div className={`content ${isTraining(tab) ? '' : 'watch'}`} key={tab}>
            <Suspense>
              <Shown tab={tab} {...parts} />
            </Suspense>
          </div>
        </main>
      </div>
      <KeyDialog bridge={bridge} />
    </LanguageContext>
  )
}

function Shown({ tab, ...parts }: Parts & { tab: Tab }): ReactNode {
  switch (tab) {
    case 'overview':
      return <OverviewTab {...parts} />
    case 'models':
      return <ModelsTab {...parts} />
    case 'requests':
      return <RequestsTab {...parts} />
    case 'settings':
      return <SettingsTab {...parts} />
    case 'system':
      return <SystemTab {...parts} />
    default:
      return <TrainingHalf tab={tab} {...parts} />
  }
}
