/** Seeded randomness of the trainer: whatever is drawn depends on the seed and a place in the run, never on what was drawn before. */

/** A generator of numbers in [0, 1) for the given place: equal arguments, equal numbers. (splitmix32 over a mixed seed.) */
export function randomAt(seed: number, ...place: number[]): () => number {
  let state = seed >>> 0
  for (const number of place) state = mix((state ^ (number >>> 0)) + 0x9e3779b9)
  return () => {
    state = (state + 0x9e3779b9) >>> 0
    return mix(state) / 2 ** 32
  }
}

function mix(value: number): number {
  let z = value >>> 0
  z = Math.imul(z ^ (z >>> 16), 0x21f0aaad)
  z = Math.imul(z ^ (z >>> 15), 0x735a2d97)
  return (z ^ (z >>> 15)) >>> 0
}

/** Fisher and Yates, in place. */
export function shuffle(items: Int32Array, random: () => number): Int32Array {
  for (let i = items.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1))
    const held = items[i]!
    items[i] = items[j]!
    items[j] = held
  }
  return items
}
