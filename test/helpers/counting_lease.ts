/** A lease on a model whose tokens are the words of a text, each as likely as its first character says. */
import type { Lease } from '../../server/models/models.ts'
import type { Answer, Ask, EncodedSample, Generate, GenerateEvent } from '../../server/wire/worker.ts'
import { BASE } from './training.ts'

const words = (text: string): number[] =>
  text
    .split(/\s+/)
    .filter(Boolean)
    .map(word => word.charCodeAt(0))

function answer(ask: Ask): unknown {
  if (ask.type === 'tokenize') return { tokens: words(ask.text), pieces: [] }
  if (ask.type === 'detokenize') return { text: ask.tokens.map(token => String.fromCharCode(token)).join('') }
  if (ask.type !== 'encode') throw new TypeError(`${ask.type} is not asked`)
  const encoded = ask.samples.map((sample): EncodedSample => {
    if (sample.kind !== 'completion') return { error: 'only completions are encoded' }
    const [prompt, learned] = [words(sample.prompt), words(sample.completion)]
    return { tokens: [...prompt, ...learned], weights: [...prompt.map(() => 0), ...learned.map(() => 1)] }
  })
  return { encoded }
}

/** @param loss of a token in nats */
export function countingLease(contextTokens = 100, loss: (token: number) => number = () => 1): Lease {
  return {
    model: BASE,
    info: { contextTokens, trainedContextTokens: contextTokens } as Lease['info'],
    ask: async <T extends keyof Answer>(ask: Extract<Ask, { type: T }>) => answer(ask as Ask) as Answer[T],
    async *generate({ prompt }: Generate): AsyncGenerator<GenerateEvent> {
      if (prompt.type !== 'tokens') throw new TypeError('only tokens are scored')
      const logprobs = prompt.tokens.map(id => ({ token: '', id, logprob: -loss(id), bytes: [], top: [] }))
      yield { type: 'start', id: 1, promptTokens: prompt.tokens.length, cachedTokens: 0, echo: { text: '', logprobs } }
    },
    release: () => undefined,
  }
}
