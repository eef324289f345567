/** A text of a model on the page. Blocks that did not change are not drawn again. */
import { memo, type ReactNode, useEffect, useMemo } from 'react'
import type { Bridge } from '../bridge.ts'
import { useStore } from '../store.ts'
import { useText } from '../texts.ts'
import { extras, load } from './extras.ts'
import { codeButtons, createDrawer, type Extras, type Words } from './markdown.ts'
import { sanitize } from './sanitize.ts'

/** A longer text is shown as it is, in parts that are laid out when they come into view. */
const MAX_MARKDOWN = 300_000
const PART = 20_000
/** Lines of code that get their colours together while more come. */
const PIECE_LINES = 40

const Html = memo(function Html({ html }: { html: string }) {
  const clean = useMemo(() => sanitize(html), [html])
  // biome-ignore lint/security/noDangerouslySetInnerHtml: it comes from sanitize, the only gate.
  return <div className="block" dir="auto" dangerouslySetInnerHTML={{ __html: clean }} />
})

const Coloured = memo(function Coloured(props: {
  code: string
  language: string
  highlight: Extras['highlight'] | undefined
}) {
  const { code, language, highlight } = props
  const clean = useMemo(() => {
    const html = language === '' ? undefined : highlight?.(code, language)
    return html === undefined ? undefined : sanitize(html)
  }, [code, language, highlight])
  if (clean === undefined) return <span>{code}</span>
  // biome-ignore lint/security/noDangerouslySetInnerHtml: it comes from sanitize, the only gate.
  return <span dangerouslySetInnerHTML={{ __html: clean }} />
})

/** Code that grows is coloured in pieces, each once; when it is whole, all together, since a comment may be long. */
const Code = memo(function Code(props: {
  code: string
  language: string
  file?: string
  closed: boolean
  words: Words
  highlight: Extras['highlight'] | undefined
}) {
  const { code, language, file, closed, words, highlight } = props
  const pieces = closed ? [code] : piecesOf(code)
  return (
    <div className="block">
      <div className="code">
        <div className="code-head">
          <span>{language}</span>
          {codeButtons(words).map(
            ([action, label]) =>
              label !== undefined && (
                <button key={action} type="button" data-code={action}>
                  {label}
                </button>
              ),
          )}
        </div>
        {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard. */}
        <pre tabIndex={0}>
          <code data-language={language} data-file={file}>
            {pieces.map((piece, index) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: pieces only grow at the end.
              <Coloured key={index} code={piece} language={language} highlight={highlight} />
            ))}
          </code>
        </pre>
      </div>
    </div>
  )
})

export const MarkdownView = memo(function MarkdownView({ text, bridge }: { text: string; bridge: Bridge }) {
  const loaded = useStore(extras, value => value)
  const words = useWords(bridge)
  const drawer = useMemo(() => createDrawer(loaded, words), [loaded, words])
  const isTooLong = text.length > MAX_MARKDOWN
  const blocks = useMemo(() => (isTooLong ? [] : drawer.draw(text)), [drawer, text, isTooLong])
  useEffect(() => {
    if (drawer.wants.code || drawer.wants.math) load(drawer.wants)
  })
  if (isTooLong) return <LongText text={text} />
  return (
    <Frame bridge={bridge}>
      {blocks.map((block, index) =>
        'html' in block ? (
          // biome-ignore lint/suspicious/noArrayIndexKey: blocks only grow at the end.
          <Html key={index} html={block.html} />
        ) : (
          // biome-ignore lint/suspicious/noArrayIndexKey: as before.
          <Code key={index} {...block} words={words} highlight={loaded.highlight} />
        ),
      )}
    </Frame>
  )
})

/** Code alone, looking as it does in a text. */
export function CodeView(props: { code: string; language: string; closed: boolean; bridge: Bridge }) {
  const { code, language, closed, bridge } = props
  const { highlight } = useStore(extras, value => value)
  const words = useWords(bridge)
  useEffect(() => load({ code: true, math: false }), [])
  return (
    <Frame bridge={bridge}>
      <Code code={code} language={language} closed={closed} words={words} highlight={highlight} />
    </Frame>
  )
}

function useWords(bridge: Bridge): Words {
  const t = useText()
  return useMemo(
    () => ({ copy: t.copy, ...(bridge.editor && { insert: t.insertAtCursor, apply: t.applyToFile }) }),
    [t, bridge],
  )
}

/** Hears the buttons of code, which stand in the blocks and are reached by keyboard there. */
function Frame({ bridge, children }: { bridge: Bridge; children: ReactNode }) {
  const t = useText()
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: it only hears the clicks of the buttons inside.
    // biome-ignore lint/a11y/useKeyWithClickEvents: as before.
    <div className="markdown" onClick={event => act(event.target, bridge, t.copied)}>
      {children}
    </div>
  )
}

/** A text as it is, however long. */
export const LongText = memo(function LongText({ text }: { text: string }) {
  const parts = useMemo(() => partsOf(text), [text])
  return (
    <div className={parts.length > 1 ? 'plain long' : 'plain'} dir="auto">
      {parts.length === 1
        ? text
        : parts.map((part, index) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: parts only grow at the end.
            <div key={index}>{part}</div>
          ))}
    </div>
  )
})

/** Cut behind lines where there are some, since each part begins on a line of its own. */
function partsOf(text: string): string[] {
  const parts: string[] = []
  for (let start = 0; start < text.length; ) {
    const line = text.indexOf('\n', start + PART)
    const hard = start + PART
    // Not between the two halves of a character.
    const whole = /[\uD800-\uDBFF]/.test(text[hard - 1] ?? '') ? hard + 1 : hard
    const end = line < 0 || line > start + 2 * PART ? whole : line + 1
    parts.push(text.slice(start, end))
    start = end
  }
  return parts
}

function piecesOf(code: string): string[] {
  const pieces: string[] = []
  let start = 0
  let lines = 0
  for (let end = code.indexOf('\n'); end >= 0; end = code.indexOf('\n', end + 1)) {
    if (++lines % PIECE_LINES !== 0) continue
    pieces.push(code.slice(start, end + 1))
    start = end + 1
  }
  return [...pieces, code.slice(start)]
}

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
    if (label === copied) return
    void bridge.copy(text).then(() => {
      button.textContent = copied
      setTimeout(() => {
        button.textContent = label
      }, 1500)
    })
  }
}
