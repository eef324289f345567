/** Settings of the editor, as every LSP client gives them under `aiHub`; package.json declares the same for VS Code. */
import * as z from 'zod'

export const EditorSettings = z.object({
  completion: z
    .object({
      enabled: z.boolean().default(true).describe('Suggest code while you type.'),
      model: z.string().default('').describe('Model that completes code; empty takes the best one there is.'),
      disabledLanguages: z
        .array(z.string())
        .default(['plaintext', 'scminput'])
        .describe('Languages without suggestions while you type, by their VS Code id.'),
      maxTokens: z.int().min(8).max(1024).default(128).describe('Longest suggestion, in tokens.'),
      budgetMs: z
        .int()
        .min(50)
        .max(60_000)
        .default(1500)
        .describe('Time that a suggestion may take after the model has read the file, in milliseconds.'),
      ahead: z.boolean().default(true).describe('Compute the next suggestion while this one is looked at.'),
    })
    .prefault({}),
  chat: z
    .object({
      model: z
        .string()
        .default('')
        .describe('Model that reviews, explains and fixes; empty takes the best chat model there is.'),
    })
    .prefault({}),
  training: z
    .object({
      collectCompletions: z
        .boolean()
        .default(false)
        .describe('Keep accepted and rejected suggestions on this machine as training data.'),
    })
    .prefault({}),
  hub: z
    .object({
      url: z.string().default('').describe('Address of a running hub; empty finds or starts one on this machine.'),
      home: z.string().default('').describe('Folder with models and data; empty takes the usual one.'),
      autoStart: z.boolean().default(true).describe('Start the hub when none runs.'),
      registry: z
        .string()
        .default('')
        .describe(
          'Registry of npm packages for the CUDA libraries, which are fetched on request only; empty takes the usual one.',
        ),
    })
    .prefault({}),
})
export type EditorSettings = z.infer<typeof EditorSettings>

/** What a client says, with defaults for the rest; a value of a wrong kind counts as left out. */
export function readEditorSettings(value: unknown): EditorSettings {
  const given = typeof value === 'object' && value !== null ? (value as { [group: string]: unknown }) : {}
  const kept: { [group: string]: { [name: string]: unknown } } = {}
  for (const [group, schema] of Object.entries(EditorSettings.shape)) {
    const values = given[group]
    if (typeof values !== 'object' || values === null) continue
    const shape = schema.unwrap().shape as { [name: string]: z.ZodType }
    kept[group] = Object.fromEntries(
      Object.entries(values).filter(([name, one]) => shape[name]?.safeParse(one).success === true),
    )
  }
  return EditorSettings.parse(kept)
}
