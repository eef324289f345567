/** The prompt of a fill-in-the-middle request, in the form of the model's own family. */
import { HubError } from '../lib/error.ts'
import type { Prompt } from '../wire/worker.ts'
import type { Piece } from './fim.ts'
import type { Model } from './model.ts'

type Infill = Extract<Prompt, { type: 'infill' }>

/** Room left for the output when the texts must be cut to fit. */
const LEAST_OUTPUT = 128
/** Share of the room that the text before the cursor may take; it says more than what follows. */
const PREFIX_SHARE = 0.75

/**
 * `other files, own name, PREFIX before SUFFIX after MIDDLE prompt`, or the suffix first where the family has it so; fim.ts knows how
 * each marks its files. What does not fit is cut where it matters least: other files from the first on, then the far ends of the
 * texts around the cursor.
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
  const { files } = fim
  let before = infill.prefix === '' ? [] : [...model.tokenize(infill.prefix, false, false)]
  let after = model.continuation(infill.suffix, false)
  const written = model.continuation(infill.prompt, false)
  const marks = 4 + written.length + (model.addBos ? 1 : 0)
  const room = Math.max(0, contextTokens - marks - Math.min(LEAST_OUTPUT, contextTokens >> 2))
  if (before.length + after.length > room) {
    const most = Math.max(Math.floor(room * PREFIX_SHARE), room - after.length)
    before = before.slice(Math.max(0, before.length - most))
    after = after.slice(0, room - before.length)
  }

  const toTokens = (pieces: Piece[]): number[] =>
    pieces.flatMap(piece => (typeof piece === 'number' ? [piece] : [...model.tokenize(piece, false, false)]))
  const isNamed = infill.path !== undefined && files.alwaysNamed
  const outside: number[] = []
  const inside: number[] = []
  if (infill.extra.length > 0 || isNamed) {
    const head = toTokens(files.head)
    const own = files.own(infill.path ?? 'current file')
    const [ownOutside, ownInside] = [toTokens(own.outside), toTokens(own.inside)]
    let left = room - before.length - after.length - head.length - ownOutside.length - ownInside.length
    // The last ones given are the nearest to the cursor, so they stay longest.
    const kept: number[][] = []
    for (const { filename, text } of [...infill.extra].reverse()) {
      const tokens = toTokens(files.other(filename, text))
      if (tokens.length > left) break
      left -= tokens.length
      kept.unshift(tokens)
    }
    if (kept.length > 0 || (isNamed && left >= 0)) {
      outside.push(...head, ...(files.inside ? [] : kept.flat()), ...ownOutside)
      inside.push(...(files.inside ? kept.flat() : []), ...ownInside)
    }
  }
  const prefixPart = [fim.prefix, ...inside, ...before]
  const suffixPart = [fim.suffix, ...after]
  return [
    ...(model.addBos ? [model.bos] : []),
    ...outside,
    ...(fim.suffixFirst ? [...suffixPart, ...prefixPart] : [...prefixPart, ...suffixPart]),
    ...(fim.middle < 0 ? [] : [fim.middle]),
    ...written,
  ]
}
