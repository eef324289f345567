/** The prompt of a fill-in-the-middle request, with the model's own FIM tokens and file markers. */
import { HubError } from '../lib/error.ts'
import type { Prompt } from '../wire/worker.ts'
import type { Model } from './model.ts'

type Infill = Extract<Prompt, { type: 'infill' }>

/** Room left for the output when the texts must be cut to fit. */
const LEAST_OUTPUT = 128
/** Share of the room that the text before the cursor may take; it says more than what follows. */
const PREFIX_SHARE = 0.75

/**
 * `[repository marker] [file marker name text]... [file marker name] PREFIX before SUFFIX after MIDDLE prompt`; the form that
 * Qwen2.5-Coder documents, without the markers where a vocabulary has none. What does not fit is cut where it matters least:
 * extra files from the first on, then the far ends of the texts around the cursor.
 * @throws HubError invalid_request when the vocabulary has no FIM tokens
 */
export function infillPrompt(model: Model, infill: Infill, contextTokens: number): number[] {
  const { fim } = model
  if (fim === undefined) {
    throw new HubError(
      'invalid_request',
      'this model has no fill-in-the-middle tokens; choose a code model that was trained for it',
      {
        param: 'model',
      },
    )
  }
  const plain = (text: string) => (text === '' ? [] : [...model.tokenize(text, false, false)])
  let before = plain(infill.prefix)
  let after = plain(infill.suffix)
  const written = plain(infill.prompt)
  const marks = 4 + written.length + (model.addBos ? 1 : 0)
  const room = Math.max(0, contextTokens - marks - Math.min(LEAST_OUTPUT, contextTokens >> 2))
  if (before.length + after.length > room) {
    const most = Math.max(Math.floor(room * PREFIX_SHARE), room - after.length)
    before = before.slice(Math.max(0, before.length - most))
    after = after.slice(0, room - before.length)
  }

  const files: number[][] = []
  if (infill.extra.length > 0 || (infill.path !== undefined && fim.separator >= 0)) {
    const named = (name: string, text: string) =>
      fim.separator >= 0 ? [fim.separator, ...plain(`${name}\n${text}`)] : plain(`\n\n--- ${name} ---\n\n${text}`)
    let left = room - before.length - after.length
    const head = fim.repository >= 0 ? [fim.repository, ...plain('workspace\n')] : []
    const tail = fim.separator >= 0 ? [fim.separator, ...plain(`${infill.path ?? 'current file'}\n`)] : []
    left -= head.length + tail.length
    // The last ones given are the nearest to the cursor, so they stay longest.
    const kept: number[][] = []
    for (const { filename, text } of [...infill.extra].reverse()) {
      const tokens = named(filename, text)
      if (tokens.length > left) break
      left -= tokens.length
      kept.unshift(tokens)
    }
    if (kept.length > 0 || (infill.path !== undefined && left >= 0)) files.push(head, ...kept, tail)
  }
  return [
    ...(model.addBos ? [model.bos] : []),
    ...files.flat(),
    fim.prefix,
    ...before,
    fim.suffix,
    ...after,
    fim.middle,
    ...written,
  ]
}
