/** A text of a model on the page. Blocks that did not change are not drawn again. */
import { memo, useEffect, useMemo } from 'react'
import type { Bridge } from '../bridge.ts'
import { useStore } from '../store.ts'
import { useText } from '../texts.ts'
import { extras, load } from './extras.ts'
import { createMarkdown, needs } from './markdown.ts'
import { sanitize } from './sanitize.ts'

const Html = memo(function Html({ html }: { html: string }) {
  const clean = useMemo(() => sanitize(html), [html])
  // biome-ignore lint/security/noDangerouslySetInnerHtml: it comes from sanitize, the only gate.
  return <div className="block" dangerouslySetInnerHTML={{ __html: clean }} />
})

export const MarkdownView = memo(function MarkdownView({ text, bridge }: { text: string; bridge: Bridge }) {
  const t = useText()
  const loaded = useStore(extras, value => value)
  const render = useMemo(
    () =>
      createMarkdown(
        () => loaded,
        () => ({ copy: t.copy, ...(bridge.editor && { insert: t.insertAtCursor, apply: t.applyToFile }) }),
      ),
    [loaded, t, bridge],
  )
  useEffect(() => load(needs(text)), [text])
  const blocks = useMemo(() => render(text), [render, text])

  return (
    // The buttons are in the blocks' own HTML, and reachable by keyboard there.
    // biome-ignore lint/a11y/noStaticElementInteractions: it only hears the clicks of the buttons inside.
    // biome-ignore lint/a11y/useKeyWithClickEvents: as before.
    <div className="markdown" onClick={event => act(event.target, bridge, t.copied)}>
      {blocks.map(({ html }, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: blocks only grow at the end.
        <Html key={index} html={html} />
      ))}
    </div>
  )
})

function act(target: EventTarget, bridge: Bridge, copied: string): void {
  const button = target instanceof Element ? target.closest('button[data-code]') : null
  const code = button?.closest('.code')?.querySelector('code')
  if (!button || !code) return
  const text = code.textContent ?? ''
  const action = button.getAttribute('data-code')
  if (action === 'insert') bridge.editor?.insert(text)
  else if (action === 'apply') {
    bridge.editor?.apply(text, code.getAttribute('data-language') ?? '', code.getAttribute('data-file') ?? undefined)
  } else {
    const label = button.textContent
    void bridge.copy(text).then(() => {
      button.textContent = copied
      setTimeout(() => {
        button.textContent = label
      }, 1500)
    })
  }
}
