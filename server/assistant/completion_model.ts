/** How a model is asked to complete code: by its own fill-in-the-middle tokens, else by a chat that goes on writing, else as plain text. */
import { HubError } from '../lib/error.ts'
import type { Lease } from '../models/models.ts'
import type { SamplingDefaults } from '../wire/model.ts'
import type { Generate, Prompt, Sampling } from '../wire/worker.ts'
import type { CompleterDeps, InfillAsk } from './complete.ts'
import { noThinking, quietly, refuses } from './thinking.ts'

/** Lines before the cursor that a chat model's answer begins with, so that it goes on instead of explaining. */
const LEAD_LINES = 6
/** A chat model reads slowly enough that far text costs more than it gives. */
const CHAT_CHARACTERS = 4000

/**
 * @param acquire gives the model that completes now
 * @returns what a Completer runs on; each generation holds the model while it lasts
 */
export function completionModel(
  acquire: (signal: AbortSignal) => Promise<Lease>,
): Required<Pick<CompleterDeps, 'infill' | 'warm'>> {
  return {
    async *infill(ask, signal) {
      const lease = await acquire(signal)
      try {
        let end: 'stop' | 'length' = 'stop'
        for (let again = true; again; ) {
          again = false
          try {
            for await (const event of lease.generate(toGenerate(ask, lease), signal)) {
              if (event.type === 'delta' && event.content !== undefined && event.content !== '')
                yield { text: event.content }
              if (event.type === 'end') end = event.finishReason === 'length' ? 'length' : 'stop'
            }
          } catch (thrown) {
            // It is refused before anything is written.
            again = refuses(lease.info, thrown)
            if (!again) throw thrown
          }
        }
        yield { end }
      } finally {
        lease.release()
      }
    },
    async warm(ask, signal) {
      const lease = await acquire(signal)
      try {
        await quietly(lease.info, async () => {
          const request = { ...toGenerate(ask, lease), maxTokens: 1 }
          for await (const event of lease.generate(request, signal)) if (event.type === 'error') return
        })
      } catch (thrown) {
        // Nobody waits for this; the next request meets what is wrong by itself.
        if (HubError.from(thrown).code === 'internal') throw thrown
      } finally {
        lease.release()
      }
    },
  }
}

export function toGenerate(ask: InfillAsk, { info, model }: Pick<Lease, 'info' | 'model'>): Generate {
  const { place, maxTokens, budgetMs, minIndent, temperature } = ask
  const prompt = info.hasFim ? infill(ask) : info.hasChatTemplate ? chat(ask, info) : text(ask)
  const stop = place.reach === 'line' && place.linePrefix.trim() !== '' ? ['\n'] : []
  if (prompt.type === 'chat') stop.push('\n```')
  return {
    prompt,
    format: { type: 'text' },
    sampling: {
      ...penalties(model.sidecar.sampling),
      ...(temperature === 0
        ? { temperature: 0 }
        : { temperature, topK: 40, topP: 0.9, seed: Math.round(temperature * 1000) }),
    },
    maxTokens,
    stop,
    n: 1,
    cachePrompt: true,
    heal: true,
    adapters: [],
    maxGenerateMs: budgetMs,
    ...(minIndent > 0 && { minIndent }),
  }
}

/** The cursor's line goes behind the middle token: what stands before stays the same from key to key, and with it the model's KV. */
function infill({ place, extra }: InfillAsk): Prompt {
  return {
    type: 'infill',
    prefix: place.before,
    suffix: place.lineSuffix + place.after,
    prompt: place.linePrefix,
    extra: extra.map(({ path, text }) => ({ filename: path, text })),
    ...(place.path !== '' && { path: place.path }),
  }
}

/** What the model's card asks for against repetition counts for completions as well. */
function penalties(card: SamplingDefaults = {}): Sampling {
  return {
    ...(card.repeat_penalty !== undefined && { repeatPenalty: card.repeat_penalty }),
    ...(card.frequency_penalty !== undefined && { frequencyPenalty: card.frequency_penalty }),
    ...(card.presence_penalty !== undefined && { presencePenalty: card.presence_penalty }),
  }
}

function chat({ place, extra }: InfillAsk, info: Lease['info']): Prompt {
  const before = place.before.slice(-CHAT_CHARACTERS)
  const lead =
    before
      .split('\n')
      .slice(-LEAD_LINES - 1)
      .join('\n') + place.linePrefix
  const others = extra.map(({ path, text }) => `File ${path}:\n\`\`\`\n${text}\n\`\`\`\n\n`).join('')
  return {
    type: 'chat',
    messages: [
      {
        role: 'system',
        content:
          'You complete code. Write only the code that belongs at <CURSOR>, no explanation. Keep the style and indentation of the file. Stop when the statement or block is complete.',
      },
      {
        role: 'user',
        content: `${others}File ${place.path} (${place.language}):\n\`\`\`\n${before}${place.linePrefix}<CURSOR>${place.lineSuffix}${place.after.slice(0, CHAT_CHARACTERS / 4)}\n\`\`\``,
      },
      { role: 'assistant', content: `\`\`\`${place.language}\n${lead}` },
    ],
    tools: [],
    toolChoice: 'none',
    parallelToolCalls: false,
    templateVariables: noThinking(info),
    continueLast: true,
  }
}

function text({ place }: InfillAsk): Prompt {
  return { type: 'text', text: place.before + place.linePrefix, special: true }
}
