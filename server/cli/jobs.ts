/** `ai-hub jobs`: the training jobs of the running hub as a table, and pause, resume and cancel. */
import { HubError } from '../lib/error.ts'
import { TrainingJobOut, TrainingStatusList } from '../wire/training.ts'
import { callHub, type HubAddress } from './api.ts'
import { formatTable, paint, type Terminal } from './terminal.ts'
import { tellDuration } from './train.ts'

export type JobsAction = { action: 'list' } | { action: 'pause' | 'resume' | 'cancel'; id: string }

export type JobsDeps = { findHub(): Promise<HubAddress | undefined>; terminal: Terminal }

/** Gives the exit code. @throws HubError not_found when no hub runs, and what the hub refuses */
export async function runJobs(deps: JobsDeps, command: JobsAction & { json: boolean }): Promise<number> {
  const { terminal } = deps
  const hub = await deps.findHub()
  if (hub === undefined) {
    throw new HubError('not_found', 'No hub runs on this home, so no job does. Start one with "ai-hub serve".')
  }
  if (command.action !== 'list') {
    const { id, action } = command
    await callHub(hub, 'POST', `/v1/fine_tuning/jobs/${encodeURIComponent(id)}/${action}`)
    const job = TrainingJobOut.parse(await callHub(hub, 'GET', `/v1/training/status/${encodeURIComponent(id)}`))
    terminal.write(command.json ? `${JSON.stringify(job, undefined, 2)}\n` : `${job.id} is ${job.status}.\n`)
    return 0
  }
  const { data } = TrainingStatusList.parse(await callHub(hub, 'GET', '/v1/training/status?limit=100'))
  if (command.json) {
    terminal.write(`${JSON.stringify(data, undefined, 2)}\n`)
    return 0
  }
  if (data.length === 0) {
    terminal.write('There are no training jobs. "ai-hub train --model M --data FILE" makes one.\n')
    return 0
  }
  const [head, ...lines] = formatTable(
    [['job', 'adapter', 'status', 'step', 'loss', 'left', 'lost'], ...data.map(cells)],
    [3, 4, 5, 6],
  )
  terminal.write(`${paint(terminal, 'bold', head ?? '')}\n`)
  for (const [index, line] of lines.entries()) {
    const job = data[index]
    terminal.write(`${line}\n`)
    const reason = job?.error?.message ?? job?.note
    if (reason !== undefined) terminal.write(`  ${paint(terminal, 'yellow', `-> ${reason}`)}\n`)
  }
  return 0
}

function cells({ id, model, name, status, stage, progress, lost_steps }: TrainingJobOut): string[] {
  return [
    id,
    `${model}:${name}`,
    stage === undefined || status !== 'running' ? status : `${status} (${stage})`,
    progress === undefined ? '-' : `${progress.step}/${progress.total_steps}`,
    progress === undefined ? '-' : progress.loss.toFixed(3),
    progress === undefined || status !== 'running' ? '-' : tellDuration(progress.seconds_left),
    String(lost_steps),
  ]
}
