/** The names of languages as people write them at a block of code, and the editor's ids for them. */

const IDS: { [name: string]: string } = {
  'c#': 'csharp',
  'c++': 'cpp',
  bash: 'shellscript',
  bat: 'bat',
  cc: 'cpp',
  cjs: 'javascript',
  console: 'shellscript',
  cs: 'csharp',
  cts: 'typescript',
  docker: 'dockerfile',
  golang: 'go',
  h: 'c',
  hpp: 'cpp',
  htm: 'html',
  js: 'javascript',
  jsx: 'javascriptreact',
  kt: 'kotlin',
  md: 'markdown',
  mjs: 'javascript',
  mts: 'typescript',
  node: 'javascript',
  objc: 'objective-c',
  ps1: 'powershell',
  pwsh: 'powershell',
  py: 'python',
  python3: 'python',
  rb: 'ruby',
  rs: 'rust',
  sh: 'shellscript',
  shell: 'shellscript',
  text: 'plaintext',
  ts: 'typescript',
  tsx: 'typescriptreact',
  txt: 'plaintext',
  yml: 'yaml',
  zsh: 'shellscript',
}

/** One language to whoever writes it, several to the editor. */
const FAMILIES = [
  ['javascript', 'javascriptreact', 'typescript', 'typescriptreact'],
  ['c', 'cpp'],
  ['json', 'jsonc', 'jsonl'],
  ['css', 'scss', 'less'],
]

/** @param known the ids that this editor has; a name that is none of them becomes plain text */
export function languageId(name: string, known: readonly string[]): string {
  const lower = name.toLowerCase()
  const id = IDS[lower] ?? lower
  return known.includes(id) ? id : 'plaintext'
}

/** Whether code of one language may belong into a text of the other; plain text may belong anywhere. */
export function goTogether(code: string, text: string): boolean {
  return code === 'plaintext' || code === text || FAMILIES.some(each => each.includes(code) && each.includes(text))
}
