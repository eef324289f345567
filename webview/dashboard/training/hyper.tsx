/** The hyperparameters that a person may set; what is left empty is computed. */
import type { Hyperparameters } from '../../../server/wire/training_plan.ts'
import { Choice, TextInput } from './widgets.tsx'
import { useWords } from './words.ts'

type Name = keyof Hyperparameters
/** As they were typed, by name. */
export type HyperTexts = { [name in Name]?: string }

type NumberOf = { name: Name; min: number; max?: number; step: number | 'any' }
const FIRST: NumberOf[] = [
  { name: 'epochs', min: 1, max: 1000, step: 1 },
  { name: 'learning_rate', min: 0, max: 1, step: 'any' },
  { name: 'rank', min: 1, max: 1024, step: 1 },
  { name: 'max_length', min: 8, step: 1 },
  { name: 'batch_size', min: 1, max: 4096, step: 1 },
  { name: 'patience', min: 0, step: 1 },
]
const FURTHER: NumberOf[] = [
  { name: 'alpha', min: 0, step: 'any' },
  { name: 'max_steps', min: 1, step: 1 },
  { name: 'warmup_ratio', min: 0, max: 1, step: 'any' },
  { name: 'dropout', min: 0, max: 0.99, step: 'any' },
  { name: 'weight_decay', min: 0, step: 'any' },
  { name: 'max_grad_norm', min: 0, step: 'any' },
  { name: 'eval_interval', min: 1, step: 1 },
  { name: 'save_interval', min: 1, step: 1 },
  { name: 'seed', min: 0, max: 2 ** 32 - 1, step: 1 },
]
const BETA: NumberOf = { name: 'beta', min: 0, step: 'any' }
const SCHEDULES = ['cosine', 'linear', 'constant'] as const

export function Hyper(props: { texts: HyperTexts; set(texts: HyperTexts): void; method: 'supervised' | 'dpo' }) {
  const { texts, set, method } = props
  const w = useWords()
  const field = ({ name, ...limits }: NumberOf) => (
    <TextInput
      key={name}
      label={w.hyperNames[name] ?? name}
      hint={w.hyperHints[name]}
      type="number"
      placeholder={w.automatic}
      {...limits}
      value={texts[name] ?? ''}
      set={value => set({ ...texts, [name]: value })}
    />
  )
  return (
    <>
      <div className="numbers">{FIRST.map(field)}</div>
      <details className="more">
        <summary>{w.hyperMore}</summary>
        <div className="numbers">
          {method === 'dpo' && field(BETA)}
          {FURTHER.map(field)}
          <Choice
            label={w.hyperNames.schedule ?? ''}
            value={texts.schedule ?? ''}
            options={[['', w.automatic], ...SCHEDULES.map(each => [each, w.schedules[each]] as const)]}
            set={schedule => set({ ...texts, schedule })}
          />
          <Choice
            label={w.hyperNames.gradient_checkpointing ?? ''}
            value={texts.gradient_checkpointing ?? ''}
            options={[
              ['', w.automatic],
              ['true', w.yes],
              ['false', w.no],
            ]}
            set={value => set({ ...texts, gradient_checkpointing: value })}
          />
        </div>
      </details>
    </>
  )
}

/** What is asked of the hub: numbers as numbers, what is empty left out. */
export function toConfig(texts: HyperTexts): { [name: string]: unknown } {
  const given = Object.entries(texts).filter(([, text]) => text.trim() !== '')
  return Object.fromEntries(
    given.map(([name, text]) => {
      if (name === 'schedule') return [name, text]
      if (name === 'gradient_checkpointing') return [name, text === 'true']
      return [name, Number(text)]
    }),
  )
}
