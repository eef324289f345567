/** A whole hub with real workers, on a free port and a home of its own, over models made for the test. */
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Hub, startHub } from '../../server/hub.ts'
import { type ModelOptions, makeModel, TINY } from './gguf_file.ts'
import { testModels } from './models.ts'

/** ChatML with tools in the Hermes form, as Qwen2.5 has it; short, since the tests' models are. */
export const HERMES_TEMPLATE = `{%- if tools %}<|im_start|>system
{%- for tool in tools %}
{{ tool | tojson }}
{%- endfor %}
<tool_call>
{"name": "", "arguments": {}}
</tool_call><|im_end|>
{% endif %}
{%- for message in messages %}<|im_start|>{{ message.role }}
{{ message.content or '' }}
{%- if message.tool_calls %}{% for tool_call in message.tool_calls %}
<tool_call>
{"name": "{{ tool_call.function.name }}", "arguments": {{ tool_call.function.arguments | tojson }}}
</tool_call>
{%- endfor %}{% endif %}<|im_end|>
{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}`

/** Random weights behind a byte vocabulary with FIM, chat and tool tokens. */
export const RANDOM_CHAT: ModelOptions = {
  ...TINY,
  context: 2048,
  chatTemplate: HERMES_TEMPLATE,
  fim: true,
  tokenizer: 'bytes',
}

export type RealHub = Hub & { folder: string }

/** @param models file name without .gguf -> a generated model, or the name of a real one among the test models */
export async function realHub(
  context: { after(close: () => Promise<void>): void },
  models: { [name: string]: ModelOptions | string },
  settings: { [name: string]: string } = {},
): Promise<RealHub> {
  const home = mkdtempSync(join(tmpdir(), 'ai-hub-test-'))
  const folder = join(home, 'local_models', 'chat_models')
  mkdirSync(folder, { recursive: true })
  for (const [name, model] of Object.entries(models)) {
    const path = join(folder, `${name}.gguf`)
    if (typeof model === 'string') copyFileSync(join(testModels()!, model), path)
    else makeModel(path, model)
  }
  const hub = await startHub({
    home,
    commandLine: { port: '0', threads: '1', poll: '0', contextTokens: '2048', device: 'cpu', ...settings },
    env: {},
    logSinks: [],
  })
  context.after(async () => {
    await hub.close()
    rmSync(home, { recursive: true, force: true, maxRetries: 5 })
  })
  await hub.ready
  return Object.assign(hub, { folder })
}
