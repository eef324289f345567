/** An action that is done again and again, without keeping the process alive for it. */

/** Gives the function that ends it. */
export function repeat(action: () => void, ms: number): () => void {
  const timer = setInterval(action, ms)
  timer.unref()
  return () => clearInterval(timer)
}
