/**
 * Token healing. A cursor within a word, behind a space or behind a bracket cuts what the model knows as one token: it never learned
 * to go on there. So the prompt is cut back to where its last word begins, and what was cut off has to be written again first, in
 * whatever tokens the model likes best.
 */
import type { Model } from './model.ts'
import { largest } from './sampling.ts'

/** A longer word is no single token anyway, and every token cut off is a decode step more. */
const MOST_TOKENS = 4
/** Tokens that are looked through for one that agrees with what was cut off. */
const SHORT_LIST = 512
/** Where a vocabulary cannot have joined tokens: the last letters with what stands before them, marks with a space before them, or white space in a line. */
const LAST_PIECE = /(?:[^\r\n\p{L}\p{M}\p{N}]?[\p{L}\p{M}]+| ?[^\s\p{L}\p{M}\p{N}]+|[^\S\r\n]+)$/u

/** What was cut off and still has to be written: its bytes, and tokens that would write them. */
export type Cut = { bytes: Buffer; told: readonly number[] }

export const UNCUT: Cut = { bytes: Buffer.alloc(0), told: [] }

/** @returns the prompt without its last piece, and that piece; UNCUT where nothing is to be healed */
export function cutBack(model: Model, tokens: readonly number[]): { tokens: number[]; cut: Cut } {
  const whole = { tokens: [...tokens], cut: UNCUT }
  const isMark = (token: number): boolean => model.endsGeneration(token) || model.piece(token, false).length === 0
  // One token more than may be cut off, so that the piece is seen to begin.
  let from = tokens.length
  while (from > 0 && tokens.length - from <= MOST_TOKENS && !isMark(tokens[from - 1]!)) from--
  const pieces = tokens.slice(from).map(token => model.piece(token, false))
  const last = LAST_PIECE.exec(Buffer.concat(pieces).toString('utf8'))
  if (last === null) return whole
  const bytes = Buffer.byteLength(last[0])
  let count = 0
  let length = 0
  while (count < MOST_TOKENS && length < bytes && count < pieces.length) length += pieces.at(-1 - count++)!.length
  // A character that several tokens share is cut off whole.
  while (count < pieces.length && isInside(pieces.at(-count)!)) count++
  // Something must stand before what is written.
  if (count === 0 || count >= tokens.length || isInside(pieces.at(-count)!)) return whole
  const bytesCut = Buffer.concat(pieces.slice(pieces.length - count))
  return {
    tokens: tokens.slice(0, tokens.length - count),
    cut: { bytes: bytesCut, told: tokens.slice(tokens.length - count) },
  }
}

/** The likeliest token that agrees with what still has to be written: it begins with it, or is its beginning. */
export function agreeing(model: Model, logits: Float32Array, { bytes, told }: Cut): number | undefined {
  let best: number | undefined
  for (const token of largest(logits, SHORT_LIST)) {
    if (best !== undefined && logits[token]! <= logits[best]!) continue
    if (token === told[0] || agrees(model.piece(token, false), bytes)) best = token
  }
  // Where the model expects something else, it is told as it would have been.
  return best !== undefined && logits[best] !== Number.NEGATIVE_INFINITY ? best : told[0]
}

/** What is left when a token was taken. */
export function afterToken(model: Model, { bytes, told }: Cut, token: number): Cut {
  const length = model.piece(token, false).length
  if (length >= bytes.length) return UNCUT
  const left = bytes.subarray(length)
  return { bytes: left, told: token === told[0] ? told.slice(1) : model.continuation(left.toString('utf8'), false) }
}

function agrees(piece: Buffer, rest: Buffer): boolean {
  if (piece.length === 0) return false
  if (piece.length >= rest.length) return piece.subarray(0, rest.length).equals(rest)
  return !isInside(rest.subarray(piece.length)) && rest.subarray(0, piece.length).equals(piece)
}

/** Whether bytes begin within a UTF-8 character. */
function isInside(bytes: Buffer): boolean {
  return ((bytes[0] ?? 0) & 0xc0) === 0x80
}
