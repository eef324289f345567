/** The chats: search, list, and what can be done with each. */
import { useEffect, useRef, useState } from 'react'
import type { Conversation } from '../../server/wire/conversations.ts'
import { Icon, IconButton } from '../icons.tsx'
import { PageLink } from '../page_link.tsx'
import { Preferences } from '../preferences.tsx'
import { useStore } from '../store.ts'
import { type Language, useText } from '../texts.ts'
import type { Parts } from './parts.ts'
import type { Session } from './session.ts'

type Props = Parts & { close(): void; begin(): void; language: Language; setLanguage(language: Language): void }

export function Sidebar({ bridge, session, close, begin, language, setLanguage }: Props) {
  const t = useText()
  // Each by itself: an answer that streams in changes the state many times a second.
  const list = useStore(session.store, state => state.list)
  const more = useStore(session.store, state => state.more)
  const listKnown = useStore(session.store, state => state.listKnown)
  const search = useStore(session.store, state => state.search)
  const open = useStore(session.store, state => state.current?.id)
  const shortcuts = useRef<HTMLDialogElement>(null)

  return (
    <nav className="sidebar" aria-label={t.chats}>
      <div className="sidebar-head">
        <button type="button" className="new-chat" onClick={begin}>
          <Icon name="plus" />
          {t.newChat}
        </button>
        <IconButton icon="close" label={t.close} className="menu-button" onClick={close} />
      </div>
      <label className="search">
        <Icon name="search" />
        <input
          id="search"
          type="search"
          value={search}
          placeholder={t.search}
          aria-label={t.search}
          onChange={event => session.search(event.target.value)}
        />
      </label>
      <ul className="chats">
        {list.map(chat => (
          <Chat
            key={chat.id}
            chat={chat}
            isOpen={chat.id === open}
            session={session}
            pick={() => {
              void session.open(chat.id)
              close()
            }}
          />
        ))}
      </ul>
      {listKnown && list.length === 0 && <p className="hint">{search.trim() === '' ? t.noChats : t.nothingFound}</p>}
      {more && (
        <button type="button" className="link" onClick={() => void session.showMore()}>
          {t.showMore}
        </button>
      )}
      <div className="sidebar-foot">
        <Preferences bridge={bridge} language={language} setLanguage={setLanguage} />
        <IconButton icon="keyboard" label={t.shortcuts} onClick={() => shortcuts.current?.showModal()} />
        <PageLink bridge={bridge} to="dashboard" left={close}>
          {t.dashboard}
        </PageLink>
        {bridge.place === 'browser' && (
          <PageLink bridge={bridge} to="docs">
            {t.apiDocs}
          </PageLink>
        )}
      </div>
      <dialog ref={shortcuts} aria-label={t.shortcuts}>
        <h2>{t.shortcuts}</h2>
        <dl className="shortcuts">
          {Object.entries(t.shortcutList).map(([keys, meaning]) => (
            <div key={keys}>
              <dt>
                <kbd>{keys}</kbd>
              </dt>
              <dd>{meaning}</dd>
            </div>
          ))}
        </dl>
        <button type="button" className="secondary" onClick={() => shortcuts.current?.close()}>
          {t.close}
        </button>
      </dialog>
    </nav>
  )
}

function Chat({
  chat,
  isOpen,
  session,
  pick,
}: {
  chat: Conversation
  isOpen: boolean
  session: Session
  pick(): void
}) {
  const t = useText()
  const [renaming, setRenaming] = useState(false)
  const item = useRef<HTMLLIElement>(null)
  const menu = useRef<HTMLDetailsElement>(null)
  const sure = useRef<HTMLDialogElement>(null)
  const title = chat.title || t.untitled
  const then = (action: () => void) => () => {
    if (menu.current) menu.current.open = false
    action()
  }
  useEffect(() => {
    const away = (event: Event): void => {
      if (menu.current && !menu.current.contains(event.target as Node)) menu.current.open = false
    }
    addEventListener('pointerdown', away)
    return () => removeEventListener('pointerdown', away)
  }, [])

  if (renaming) {
    return (
      <li>
        <input
          className="rename"
          defaultValue={chat.title}
          aria-label={t.rename}
          ref={input => input?.select()}
          onBlur={() => setRenaming(false)}
          onKeyDown={event => {
            if (event.nativeEvent.isComposing) return
            if (event.key === 'Enter') void session.rename(chat.id, event.currentTarget.value.trim())
            if (event.key === 'Enter' || event.key === 'Escape') {
              setRenaming(false)
              requestAnimationFrame(() => item.current?.querySelector('button')?.focus())
            }
            event.stopPropagation()
          }}
        />
      </li>
    )
  }
  return (
    <li className={isOpen ? 'open' : ''} ref={item}>
      <button type="button" className="chat" aria-current={isOpen ? 'page' : undefined} onClick={pick}>
        <span className="chat-title" dir="auto">
          {title}
        </span>
        {chat.excerpt !== undefined && <span className="excerpt">{chat.excerpt}</span>}
      </button>
      <details
        className="menu"
        ref={menu}
        onKeyDown={event => {
          if (event.key !== 'Escape' || !menu.current?.open) return
          event.stopPropagation()
          menu.current.open = false
          menu.current.querySelector('summary')?.focus()
        }}
      >
        <summary aria-label={t.chatMenu(title)} title={t.chatMenu(title)}>
          <Icon name="more" />
        </summary>
        <div className="menu-items">
          <button type="button" onClick={then(() => setRenaming(true))}>
            {t.rename}
          </button>
          <button type="button" onClick={then(() => void session.export(chat.id, 'markdown'))}>
            {t.exportMarkdown}
          </button>
          <button type="button" onClick={then(() => void session.export(chat.id, 'json'))}>
            {t.exportJson}
          </button>
          <button type="button" className="danger" onClick={then(() => sure.current?.showModal())}>
            {t.remove}
          </button>
        </div>
      </details>
      <dialog ref={sure} aria-label={t.remove}>
        <p>{t.removeSure(title)}</p>
        <div className="row">
          <button type="button" className="secondary" onClick={() => sure.current?.close()}>
            {t.cancel}
          </button>
          <button
            type="button"
            onClick={() => {
              void session.remove(chat.id)
              sure.current?.close()
              document.getElementById('message')?.focus()
            }}
          >
            {t.remove}
          </button>
        </div>
      </dialog>
    </li>
  )
}
