/** Which slot a request takes and which KV it starts from: pure decisions over what each slot holds. */

/** One sequence of the context. `cache` are the tokens whose KV it holds. */
export type SlotView = {
  id: number
  busy: boolean
  cache: readonly number[]
  /** Adapters that the KV was computed with; KV of one set is never used under another. */
  adapterKey: string
  /** While busy: every token that will be in the cache when its prompt is evaluated. */
  pending: readonly number[]
  lastUsed: number
}

export type Placement = {
  slot: number
  /** Tokens of the prompt whose KV needs no evaluation. */
  reuse: number
  /** The slot whose KV is shared, when it is another one. */
  donor?: number
}

/** A shorter common beginning is evaluated again sooner than shared, unless it is all there is to evaluate. */
const WORTH_SHARING = 16
/** Waiting for another slot's prompt is worth it when it saves at least so many tokens. */
const WORTH_WAITING = 32

export function commonPrefix(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const length = Math.min(a.length, b.length)
  let index = 0
  while (index < length && a[index] === b[index]) index++
  return index
}

/**
 * The slot for a prompt, `wait` when another slot is about to compute a prefix that it shares, or undefined when all are busy.
 * A slot whose own conversation goes on is continued in place; otherwise the least recently used one is taken and the best
 * prefix is shared from whichever slot holds it, so that other conversations keep their KV.
 */
export function place(
  slots: readonly SlotView[],
  prompt: readonly number[],
  adapterKey: string,
  options: { reuse: boolean; canCut: boolean },
): Placement | 'wait' | undefined {
  const idle = slots.filter(slot => !slot.busy)
  if (idle.length === 0) return undefined
  // At least one token must be decoded to get logits.
  const usable = prompt.length - 1
  const shared = (cache: readonly number[]) => Math.min(commonPrefix(cache, prompt), usable)
  const oldest = idle.reduce((a, b) => (preferred(b, a) ? b : a))
  if (!options.reuse) return { slot: oldest.id, reuse: 0 }

  let best: SlotView | undefined
  let reuse = 0
  for (const slot of slots) {
    if (slot.adapterKey !== adapterKey) continue
    let length = shared(slot.cache)
    if (!options.canCut && (length !== slot.cache.length || slot.busy)) length = 0
    if (length > reuse || (length === reuse && length > 0 && best?.busy === true && !slot.busy)) {
      best = slot
      reuse = length
    }
  }
  if (options.canCut) {
    for (const slot of slots) {
      if (slot.busy && slot.adapterKey === adapterKey && shared(slot.pending) >= reuse + WORTH_WAITING) return 'wait'
    }
  }
  if (best === undefined || (reuse < WORTH_SHARING && reuse < usable)) return { slot: oldest.id, reuse: 0 }
  if (!best.busy && (!options.canCut || reuse >= best.cache.length / 2 || idle.length === 1))
    return { slot: best.id, reuse }
  const target = idle
    .filter(slot => slot.id !== best.id)
    .reduce<SlotView | undefined>((a, b) => (a === undefined || preferred(b, a) ? b : a), undefined)
  if (target === undefined) return { slot: best.id, reuse }
  return { slot: target.id, reuse, donor: best.id }
}

/** Empty slots first, then the least recently used. */
function preferred(a: SlotView, b: SlotView): boolean {
  const emptyA = a.cache.length === 0
  const emptyB = b.cache.length === 0
  return emptyA !== emptyB ? emptyA : a.lastUsed < b.lastUsed
}

/** Kernels work on rows in steps of so many; a short rest costs nearly as much as a whole step. */
const ROW_STEP = 64

/** A chunk of a prompt so that no short rest is left for the last one. @param most tokens that the chunk may have */
export function evenChunk(remaining: number, most: number): number {
  if (remaining <= most) return remaining
  const even = Math.ceil(remaining / Math.ceil(remaining / most))
  return Math.min(most, Math.ceil(even / ROW_STEP) * ROW_STEP)
}

/**
 * How a prompt budget is split: every slot gets its share, what a short prompt leaves goes to the longer ones.
 * @param remaining tokens left per slot @returns tokens granted, in the same order
 */
export function share(remaining: readonly number[], budget: number): number[] {
  const granted = remaining.map(() => 0)
  const order = remaining.map((_, index) => index).sort((a, b) => remaining[a]! - remaining[b]!)
  let left = budget
  order.forEach((index, position) => {
    const part = Math.min(remaining[index]!, Math.floor(left / (order.length - position)))
    granted[index] = part
    left -= part
  })
  return granted
}
