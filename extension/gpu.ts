/** The graphics card: the CUDA libraries that a package does not carry, and a word when a card lies idle. */
import { execFile } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as vscode from 'vscode'
import type { CudaLine } from '../server/wire/cuda.ts'
import type { Api } from './api.ts'
import type { Hub } from './hub.ts'
import { followCommand, LaunchError } from './launch.ts'
import { readSettings } from './settings.ts'
import { formatBytes } from './text.ts'
import { withCancel } from './train.ts'

type Plan = Extract<CudaLine, { type: 'plan' }>

/** In the memory of the editor: what was said once and is not said again. */
const TOLD_CUDA = 'told cuda'
const TOLD_IDLE = 'told idle card'

/** Looks once at what there is: sets `aiHub.canGetCuda`, and tells what would help. */
export async function lookAtGpu({ hub, api }: { hub: Hub; api: Api }, memory: vscode.Memento): Promise<void> {
  if (!hub.isLocal) return
  const card = await findNvidiaCard()
  const canGet = card !== undefined && isCudaMissing(hub)
  await vscode.commands.executeCommand('setContext', 'aiHub.canGetCuda', canGet)
  if (card === undefined) return
  const { devices } = await api.system()
  const isIdle = devices.every(({ kind }) => kind === 'cpu')
  const key = isIdle ? TOLD_IDLE : TOLD_CUDA
  if ((!isIdle && !canGet) || memory.get<string>(key) === card) return
  await memory.update(key, card)
  const get = vscode.l10n.t('Get the CUDA Libraries…')
  const doctor = vscode.l10n.t('Run Doctor')
  const chosen = isIdle
    ? await vscode.window.showWarningMessage(
        vscode.l10n.t('Models run on the processor, though there is a {0}. The doctor says what it lacks.', card),
        doctor,
        ...(canGet ? [get] : []),
      )
    : await vscode.window.showInformationMessage(
        vscode.l10n.t('Models run on the {0} through Vulkan. CUDA is faster, and can be fetched.', card),
        get,
      )
  if (chosen === get) await vscode.commands.executeCommand('aiHub.getCuda')
  if (chosen === doctor) await vscode.commands.executeCommand('aiHub.doctor')
}

/** Shows what would be fetched, and fetches it with progress; what was fetched before a cancel is kept for the next time. */
export async function getCuda(hub: Hub): Promise<void> {
  if (!hub.isLocal) throw new Error(vscode.l10n.t('The hub is on another machine; run "ai-hub cuda" there.'))
  const plan = await askPlan(hub)
  if (plan === undefined) return
  if (plan.packs.length > 0 && !(await isWanted(plan))) return
  const done = await fetchPacks(hub, plan)
  if (done === undefined) return
  await vscode.commands.executeCommand('setContext', 'aiHub.canGetCuda', false)
  const restart = vscode.l10n.t('Restart the Hub')
  const doctor = vscode.l10n.t('Run Doctor')
  const chosen = done.works
    ? await vscode.window.showInformationMessage(done.said, restart)
    : await vscode.window.showWarningMessage(done.said, doctor)
  if (chosen === restart) await vscode.commands.executeCommand('aiHub.restartHub')
  if (chosen === doctor) await vscode.commands.executeCommand('aiHub.doctor')
}

function askPlan(hub: Hub): Promise<Plan | undefined> {
  const title = vscode.l10n.t('Asking for the size of the CUDA libraries')
  return withCancel(title, async signal => {
    let plan: Plan | undefined
    await followCommand(hub.program(), args(), signal, line => {
      const said = JSON.parse(line) as CudaLine
      if (said.type === 'plan') plan = said
    })
    return plan
  })
}

async function isWanted({ packs, registry, folder, runtime, runtimes, gpu }: Plan): Promise<boolean> {
  const rows = packs.map(({ name, version, bytes, license }) =>
    vscode.l10n.t('{0} {1}: {2}, licence {3}', name, version, formatBytes(bytes), license),
  )
  const hints = [
    ...(gpu === undefined ? [vscode.l10n.t('No NVIDIA card was found here; without one they are of no use.')] : []),
    ...(runtimes.includes(runtime)
      ? []
      : [
          vscode.l10n.t(
            'They need the CUDA {0} runtime of NVIDIA (cudart, cublas), which was not found here; without it the hub goes on with Vulkan.',
            runtime,
          ),
        ]),
  ]
  const detail = [...rows, vscode.l10n.t('From {0} into {1}.', registry, folder), ...hints].join('\n')
  const fetch = vscode.l10n.t('Fetch')
  const question = vscode.l10n.t('Fetch the CUDA libraries?')
  return (await vscode.window.showInformationMessage(question, { modal: true, detail }, fetch)) === fetch
}

type Done = Extract<CudaLine, { type: 'done' }>

function fetchPacks(hub: Hub, { packs }: Plan): Promise<Done | undefined> {
  const total = packs.reduce((sum, { bytes }) => sum + bytes, 0)
  return withCancel(vscode.l10n.t('CUDA libraries'), async (signal, report) => {
    let done: Done | undefined
    const follow = (line: string): void => {
      const said = JSON.parse(line) as CudaLine
      if (said.type === 'done') done = said
      if (said.type !== 'progress') return
      const before = packs.slice(
        0,
        packs.findIndex(({ name }) => name === said.name),
      )
      const past = before.reduce((sum, { bytes }) => sum + bytes, 0)
      const words = {
        fetch: vscode.l10n.t('{0} of {1}', formatBytes(past + said.done), formatBytes(total)),
        check: vscode.l10n.t('checking'),
        unpack: vscode.l10n.t('unpacking'),
      }
      report(words[said.stage], said.stage === 'fetch' ? (100 * (past + said.done)) / total : undefined)
    }
    try {
      await followCommand(hub.program(), [...args(), '--yes'], signal, follow)
    } catch (thrown) {
      // It ends with 1 also when all is there and the card cannot be reached, which its last line says better.
      if (done === undefined || !(thrown instanceof LaunchError)) throw thrown
    }
    return done
  })
}

function args(): string[] {
  const { registry } = readSettings().hub
  return ['cuda', '--json', ...(registry === '' ? [] : ['--registry', registry])]
}

/** A package says which libraries it left out; a clone has them from npm. */
function isCudaMissing({ folder, home }: Hub): boolean {
  try {
    const text = readFileSync(join(folder, 'cuda_pack.json'), 'utf8')
    const { cuda } = (JSON.parse(text) as { packs: { cuda: { name: string; version: string } } }).packs
    return !existsSync(join(home, 'native', cuda.version, ...cuda.name.split('/')))
  } catch {
    return false
  }
}

/** Its name; undefined without one, or without its driver. */
function findNvidiaCard(): Promise<string | undefined> {
  return new Promise(resolve => {
    const query = ['--query-gpu=name', '--format=csv,noheader']
    execFile('nvidia-smi', query, { timeout: 5000, windowsHide: true }, (error, stdout) => {
      resolve(error === null ? stdout.trim().split(/\r?\n/)[0] || undefined : undefined)
    })
  })
}
