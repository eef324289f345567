/** What the pages keep, in the editor's own memory, which is written sooner than the state of its panels. */
import type * as vscode from 'vscode'
import type { FromPanel, KeptState } from '../server/wire/panel.ts'

type Memory = { globalState: vscode.Memento; workspaceState: vscode.Memento }

/** One entry for each key, so that windows do not take away what others kept. */
const KEPT = 'page.'

/** @param place of the page in this window, `chat panel` */
export function readKept({ globalState, workspaceState }: Memory, place: string): KeptState {
  const kept = globalState
    .keys()
    .filter(key => key.startsWith(KEPT))
    .map(key => [key.slice(KEPT.length), globalState.get<string>(key, '')] as const)
  const own = workspaceState.get<Pick<KeptState, 'at' | 'own'>>(KEPT + place, { at: 0, own: {} })
  return { ...own, kept: Object.fromEntries(kept) }
}

export async function writeKept(
  { globalState, workspaceState }: Memory,
  place: string,
  { key, value, own, at }: Extract<FromPanel, { type: 'keep' }>,
): Promise<void> {
  const before = workspaceState.get<Pick<KeptState, 'at' | 'own'>>(KEPT + place, { at: 0, own: {} })
  // Empty: this page has none, though another may.
  const after = { at, own: own ? { ...before.own, [key]: value ?? '' } : before.own }
  await Promise.all([globalState.update(KEPT + key, value), workspaceState.update(KEPT + place, after)])
}
