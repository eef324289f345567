/** What is said of a toy model, which is there so that a fresh clone has one: what it is, and how to get a real one. */
import { join } from 'node:path'

/** One sentence and a command. @param home whose model folders are meant */
export function toyHint(home: string): string {
  const folder = join(home, 'local_models', 'chat_models')
  return `a toy; here is how to get a real model: "ai-hub pull" shows which ones suit this machine and gets one, or copy a GGUF file into ${folder}`
}
