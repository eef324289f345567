/** The command line of `ai-hub adapters`: what stands behind the word becomes one of its actions. */
import { MergeType } from '../wire/adapter.ts'

export type AdaptersAction =
  | { action: 'list' }
  | { action: 'merge'; adapter: string; out: string; type: MergeType; scale?: number }
  | { action: 'export'; adapter: string; out: string; baseName?: string; scale?: number }
  | { action: 'import'; base: string; source: string; as?: string; replace: boolean }
  | { action: 'delete'; adapter: string }
  | { action: 'rename'; adapter: string; as: string }
  | { action: 'rollback'; adapter: string; version?: number }

const USAGE: { [action: string]: { arguments: string[]; options: string[] } } = {
  list: { arguments: [], options: ['json'] },
  merge: { arguments: ['BASE:NAME'], options: ['out', 'type', 'scale'] },
  export: { arguments: ['BASE:NAME'], options: ['out', 'base-name', 'scale'] },
  import: { arguments: ['BASE', 'FOLDER'], options: ['as', 'replace'] },
  delete: { arguments: ['BASE:NAME'], options: [] },
  rename: { arguments: ['BASE:NAME', 'NEW-NAME'], options: [] },
  rollback: { arguments: ['BASE:NAME'], options: ['version'] },
}
export const ADAPTERS_USAGE = Object.entries(USAGE)
  .map(([action, { arguments: names }]) => [action, ...names].join(' '))
  .join(' | ')

export const ADAPTERS_OPTIONS = {
  out: { type: 'string', value: 'PATH', description: 'merge: the GGUF that is written; export: the folder' },
  type: { type: 'string', value: 'TYPE', description: `merge: ${MergeType.options.join(', ')} [same]` },
  scale: {
    type: 'string',
    value: 'N',
    description: 'merge, export: strength of the adapter [that of its card, else 1]',
  },
  'base-name': { type: 'string', value: 'NAME', description: 'export: base_model_name_or_path, such as a repository' },
  as: { type: 'string', value: 'NAME', description: 'import: name of the adapter [that of the folder]' },
  replace: { type: 'boolean', description: 'import: keep what has the name now as an older version' },
  version: { type: 'string', value: 'N', description: 'rollback: the version to go back to [the newest older one]' },
} as const

type Values = { [name: string]: string | boolean | undefined }

/** @param fail throws what tells the user of a wrong command line */
export function parseAdapters(
  values: Values,
  positionals: readonly string[],
  fail: (message: string) => never,
): AdaptersAction {
  const [action = '', ...rest] = positionals
  const usage = 'See "ai-hub help adapters".'
  const spec = Object.hasOwn(USAGE, action) ? USAGE[action] : undefined
  if (spec === undefined) {
    const typed = action === '' ? 'Say what to do' : `"ai-hub adapters" cannot "${action}". Choose`
    return fail(`${typed}: ${Object.keys(USAGE).join(', ')}. ${usage}`)
  }
  for (const option of [...Object.keys(ADAPTERS_OPTIONS), 'json']) {
    if (values[option] !== undefined && !spec.options.includes(option)) {
      fail(`"ai-hub adapters ${action}" has no option "--${option}". ${usage}`)
    }
  }
  if (rest.length !== spec.arguments.length) {
    const stray = rest[spec.arguments.length]
    if (stray !== undefined) fail(`"${stray}" is one argument too many. ${usage}`)
    fail(`Write: ai-hub adapters ${[action, ...spec.arguments].join(' ')}. ${usage}`)
  }
  const text = (name: string): string | undefined => (typeof values[name] === 'string' ? values[name] : undefined)
  const number = (name: string): number | undefined => {
    const value = text(name)
    if (value === undefined) return undefined
    const parsed = Number(value)
    return value.trim() === '' || !Number.isFinite(parsed) ? fail(`--${name} takes a number.`) : parsed
  }
  const out = (): string =>
    text('out') ?? fail(`Say where to write: ai-hub adapters ${action} ... --out PATH. ${usage}`)
  const [first = '', second = ''] = rest
  const [scale, baseName, as, version] = [number('scale'), text('base-name'), text('as'), number('version')]
  switch (action) {
    case 'merge': {
      const type = MergeType.safeParse(text('type') ?? 'same')
      if (!type.success) return fail(`--type is one of ${MergeType.options.join(', ')}.`)
      return { action, adapter: first, out: out(), type: type.data, ...(scale !== undefined && { scale }) }
    }
    case 'export':
      return {
        action,
        adapter: first,
        out: out(),
        ...(baseName !== undefined && { baseName }),
        ...(scale !== undefined && { scale }),
      }
    case 'import':
      return { action, base: first, source: second, replace: values.replace === true, ...(as !== undefined && { as }) }
    case 'delete':
      return { action, adapter: first }
    case 'rename':
      return { action, adapter: first, as: second }
    case 'rollback':
      return { action, adapter: first, ...(version !== undefined && { version }) }
    default:
      return { action: 'list' }
  }
}
