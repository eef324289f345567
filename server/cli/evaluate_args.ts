/** The options and arguments of `ai-hub evaluate`. */
import type { EvaluateOptions } from './evaluate.ts'

export const EVALUATE_USAGE = 'BASE CANDIDATE'

const number = (description: string) => ({ type: 'string' as const, value: 'N', description })

export const EVALUATE_OPTIONS = {
  data: { type: 'string' as const, short: 'd', value: 'DATASET', description: 'an imported dataset' },
  version: number('another version of it than the newest'),
  part: { type: 'string' as const, value: 'PART', description: 'train, validation or test [test]' },
  samples: number('most samples [500]'),
  'answer-tokens': number('most tokens of one answer [512]'),
  seed: number('of every random choice [1]'),
  'run-code': {
    type: 'boolean' as const,
    description: 'run the code of answers whose samples have tests: code that a model wrote, in a sandbox',
  },
}

/** @param refuse throws the usage error */
export function parseEvaluate(
  values: { [name: string]: string | boolean | undefined },
  [base, candidate, ...rest]: string[],
  refuse: (message: string) => never,
): EvaluateOptions {
  const usage = 'ai-hub evaluate BASE CANDIDATE --data DATASET. See "ai-hub help evaluate".'
  if (base === undefined || candidate === undefined || rest.length > 0) return refuse(`Name two models: ${usage}`)
  const { data, part } = values
  if (typeof data !== 'string') return refuse(`Name the dataset: ${usage}`)
  const whole = (option: string): number | undefined => {
    const value = values[option]
    if (value === undefined) return undefined
    return typeof value === 'string' && /^\d{1,9}$/.test(value)
      ? Number(value)
      : refuse(`--${option} takes a whole number.`)
  }
  const [version, samples, answerTokens, seed] = ['version', 'samples', 'answer-tokens', 'seed'].map(whole)
  return {
    base,
    candidate,
    dataset: data,
    ...(version !== undefined && { version }),
    ...(typeof part === 'string' && { part }),
    ...(samples !== undefined && { samples }),
    ...(answerTokens !== undefined && { answerTokens }),
    ...(seed !== undefined && { seed }),
    runCode: values['run-code'] === true,
    json: values.json === true,
  }
}
