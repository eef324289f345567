/** What the scripted model says: the first row that fits its prompt. */
import type { Generate, ToolCallDelta } from '../../server/wire/worker.ts'

/** A file with an error that TypeScript finds, and the same without it. */
export const WRONG = "export function answer(): number {\n  const value: number = 'forty-two'\n  return value\n}\n"
export const FIXED = WRONG.replace("'forty-two'", '42')
/** A file with a fault that no compiler finds. */
export const RISKY = "export function pay(user: string): unknown {\n  return eval('charge(' + user + ')')\n}\n"

/** Ghost text by what stands before the cursor. */
const COMPLETIONS: [before: RegExp, text: string][] = [
  [/const total = $/, 'prices.reduce((sum, price) => sum + price, 0)\n'],
  [/function add\($/, 'a: number, b: number): number {\n'],
]
const FINDING = {
  quote: "return eval('charge(' + user + ')')",
  severity: 'error',
  category: 'security',
  reason: 'The name of the user is run as code.',
  replacement: 'return charge(user)',
}

export function reply({ prompt, format }: Generate): string {
  if (prompt.type === 'infill') {
    return COMPLETIONS.find(([before]) => before.test(prompt.prefix + prompt.prompt))?.[1] ?? ''
  }
  if (format.type === 'json_schema')
    return JSON.stringify(structured(JSON.stringify(prompt), JSON.stringify(format.schema)))
  return 'I am a script.'
}

/** The call of a chat that has to make one. */
export function call({ prompt }: Generate): ToolCallDelta | undefined {
  if (prompt.type !== 'chat' || prompt.toolChoice !== 'required') return undefined
  return { index: 0, id: 'call_1', name: prompt.tools[0]?.name ?? '', arguments: JSON.stringify({ city: 'Hue' }) }
}

/** Told apart by a property that the schema asks for. */
function structured(prompt: string, schema: string): unknown {
  if (schema.includes('"import"')) return { code: FIXED.trimEnd(), import: '' }
  if (schema.includes('"findings"')) return { findings: prompt.includes('eval(') ? [FINDING] : [] }
  return {}
}
