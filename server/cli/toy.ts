/** What is said of a toy model, which is there so that a fresh clone has one: what it is, and how to get a real one. */
import { join } from 'node:path'

/** One sentence and a command. @param home whose model folders are meant */
export function toyHint(home: string, platform: NodeJS.Platform = process.platform): string {
  const folder = join(home, 'local_models', 'chat_models')
  const quoted = /\s/.test(folder) ? `"${folder}"` : folder
  const command =
    platform === 'win32' ? `copy %USERPROFILE%\\Downloads\\MODEL.gguf ${quoted}` : `cp ~/Downloads/MODEL.gguf ${quoted}`
  return `a toy; here is how to get a real model: download a GGUF file, such as an instruct model in Q4_K_M, and run ${command}`
}
