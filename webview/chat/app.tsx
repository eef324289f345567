/** The chat page: the list of chats, the conversation, and the panels beside it. */
import { useEffect, useMemo, useRef, useState } from 'react'
import { chatModels, firstChoice } from '../hub_state.ts'
import { IconButton } from '../icons.tsx'
import { KeyDialog } from '../key_dialog.tsx'
import { useStore } from '../store.ts'
import { chooseLanguage, LANGUAGES, type Language, LanguageContext } from '../texts.ts'
import { Composer } from './composer.tsx'
import { Conversation } from './conversation.tsx'
import { type Link, readLink } from './link.ts'
import { ModelPicker } from './model_picker.tsx'
import { ModelsPanel } from './models_panel.tsx'
import { Notices } from './notices.tsx'
import { OptionsPanel } from './options_panel.tsx'
import type { Parts } from './parts.ts'
import { Sidebar } from './sidebar.tsx'

type Panel = 'options' | 'models' | undefined

export function App({ bridge, hub, session }: Parts) {
  const [language, setLanguage] = useState<Language>(() =>
    chooseLanguage([bridge.kept.get('language') ?? '', ...bridge.languages]),
  )
  const [panel, setPanel] = useState<Panel>()
  const [menu, setMenu] = useState(false)
  const input = useRef<HTMLTextAreaElement>(null)
  const t = LANGUAGES[language]
  const parts = useMemo(() => ({ bridge, hub, session }), [bridge, hub, session])
  const current = useStore(session.store, state => state.current)
  useStart(parts)

  // On a small screen the keyboard would cover the page.
  useEffect(() => {
    if (innerWidth > 720) input.current?.focus()
  }, [])

  useEffect(() => {
    document.documentElement.lang = language
    document.title = current?.title ? `${current.title} – AI Backend Hub` : 'AI Backend Hub'
  }, [language, current?.title])

  useEffect(() => {
    const press = (event: KeyboardEvent): void => {
      // It belongs to the word that is being put together, in Vietnamese say.
      if (event.isComposing) return
      const key = event.code.replace('Key', '').toLowerCase()
      if (event.key === 'Escape' && !document.querySelector('dialog[open]')) {
        if (panel !== undefined) setPanel(undefined)
        else if (menu) setMenu(false)
        else session.stop()
        input.current?.focus()
        return
      }
      if (!event.altKey || event.ctrlKey || event.metaKey) return
      const actions: { [key: string]: () => void } = {
        n: () => {
          void session.open(undefined)
          input.current?.focus()
        },
        k: () => {
          setMenu(true)
          document.getElementById('search')?.focus()
        },
        m: () => setPanel(open => (open === 'models' ? undefined : 'models')),
        o: () => setPanel(open => (open === 'options' ? undefined : 'options')),
        i: () => input.current?.focus(),
      }
      const action = actions[key]
      if (action === undefined) return
      event.preventDefault()
      action()
    }
    addEventListener('keydown', press)
    return () => removeEventListener('keydown', press)
  }, [panel, menu, session])

  const closePanel = (): void => {
    setPanel(undefined)
    input.current?.focus()
  }

  return (
    <LanguageContext value={language}>
      <button type="button" className="skip" onClick={() => input.current?.focus()}>
        {t.skip}
      </button>
      <div className={`app ${menu ? 'menu-open' : ''} ${panel === undefined ? '' : 'panel-open'}`}>
        <Sidebar
          {...parts}
          close={() => setMenu(false)}
          language={language}
          setLanguage={chosen => {
            bridge.kept.set('language', chosen)
            setLanguage(chosen)
          }}
          begin={() => {
            void session.open(undefined)
            setMenu(false)
            input.current?.focus()
          }}
        />
        {menu && <button type="button" className="curtain" aria-label={t.close} onClick={() => setMenu(false)} />}
        <main>
          <header>
            <IconButton icon="menu" label={t.menu} className="menu-button" onClick={() => setMenu(true)} />
            <ModelPicker {...parts} />
            <span className="grow" />
            <IconButton
              icon="chip"
              label={t.models}
              pressed={panel === 'models'}
              onClick={() => setPanel(panel === 'models' ? undefined : 'models')}
            />
            <IconButton
              icon="options"
              label={t.options}
              pressed={panel === 'options'}
              onClick={() => setPanel(panel === 'options' ? undefined : 'options')}
            />
          </header>
          <Notices {...parts} />
          <Conversation {...parts} />
          <Composer {...parts} input={input} />
        </main>
        {panel === 'options' && <OptionsPanel {...parts} close={closePanel} />}
        {panel === 'models' && <ModelsPanel {...parts} close={closePanel} />}
      </div>
      <KeyDialog bridge={bridge} />
    </LanguageContext>
  )
}

/** Reads what is there, and reads it again when the hub is back or the page is looked at again. */
function useStart({ bridge, hub, session }: Parts): void {
  const connected = useStore(hub, state => state.connected)
  const models = useStore(hub, state => state.models)
  const known = useStore(hub, state => state.known)
  const model = useStore(session.store, state => state.model)
  const [linked, setLinked] = useState<Link>()
  useEffect(() => {
    /** A link is followed once: a reload must not begin the chat again. */
    const follow = (): boolean => {
      const inBrowser = bridge.place === 'browser'
      // As it was written: the bridge decodes it, and a comma of an id would part it then.
      const link = readLink(inBrowser ? location.hash.slice(1) : bridge.route.get())
      if (link === undefined) return false
      if (inBrowser) history.replaceState(null, '', location.pathname + location.search)
      else bridge.route.set('')
      setLinked(link)
      session.begin(link)
      return true
    }
    if (!follow()) void session.open(bridge.own.get('open'))
    void session.refresh()
    const unfollow = bridge.route.listen(() => void follow())
    const look = (): void => {
      if (document.visibilityState !== 'visible') return
      void session.refresh()
      void session.revisit()
    }
    document.addEventListener('visibilitychange', look)
    return () => {
      unfollow()
      document.removeEventListener('visibilitychange', look)
    }
  }, [session, bridge])
  useEffect(() => {
    if (!connected) return
    void session.outbox.flush()
    void session.refresh()
    // A panel may be there before the hub is.
    const { current, opening } = session.store.get()
    const open = bridge.own.get('open')
    if (current === undefined && !opening && open !== undefined) void session.open(open)
  }, [connected, session, bridge])
  useEffect(() => {
    if (linked === undefined || !known) return
    setLinked(undefined)
    const usable = chatModels(models)
    const missing = [linked.model, linked.second].find(id => id !== '' && usable.every(one => one.id !== id))
    if (missing !== undefined) session.miss(missing)
  }, [linked, known, models, session])
  useEffect(() => {
    const best = firstChoice(models, model)
    if (best !== undefined && best !== model) session.setModel(best)
  }, [models, model, session])
}
