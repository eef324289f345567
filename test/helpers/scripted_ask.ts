/** A chat model whose answers are given, for the tasks of the assistant. */
import { type AskModel, askModel } from '../../server/assistant/ask.ts'
import type { Code } from '../../server/assistant/code.ts'
import { type FakeModels, type FakeOptions, fakeModels } from './fake_models.ts'

export type Scripted = {
  ask: AskModel
  models: FakeModels /** What the model was told, system and user, by request. */
  told(): string[]
}

/** @param answers in turn, the last one again and again; what is no text is sent as JSON */
export function scriptedAsk(answers: unknown[], options: FakeOptions = {}): Scripted {
  let at = 0
  const models = fakeModels({
    ...options,
    info: { contextTokens: 20_000, ...options.info },
    answer: () => {
      const answer = answers[Math.min(at++, answers.length - 1)]
      return { deltas: [{ content: typeof answer === 'string' ? answer : JSON.stringify(answer) }] }
    },
  })
  return {
    models,
    ask: askModel(signal => models.acquire('fake', signal)),
    told: () =>
      models.generated.map(({ prompt }) =>
        prompt.type === 'chat' ? prompt.messages.map(({ content }) => content).join('\n') : 'no chat',
      ),
  }
}

/** A document with the selection between two ▸◂ marks, or the cursor at one ▮. */
export function marked(text: string, language = 'typescript', path = 'src/a.ts'): Code {
  const cursor = text.indexOf('▮')
  if (cursor >= 0) return { path, language, text: text.replace('▮', ''), start: cursor, end: cursor }
  const start = text.indexOf('▸')
  const end = text.indexOf('◂') - 1
  return { path, language, text: text.replace('▸', '').replace('◂', ''), start, end }
}

/** The text after the edits. */
export function edited(text: string, edits: readonly { start: number; end: number; text: string }[]): string {
  return [...edits]
    .sort((a, b) => b.start - a.start)
    .reduce((now, edit) => now.slice(0, edit.start) + edit.text + now.slice(edit.end), text)
}
