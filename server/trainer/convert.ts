/** The converter: merges, exports or imports one adapter over IPC, and ends with its parent. */
import { HubError } from '../lib/error.ts'
import type { ConvertResult, ConvertTask, FromConverter, ToConverter } from '../wire/adapter.ts'
import { mergeAdapter } from './merge.ts'
import { exportPeft } from './peft_export.ts'
import { importPeft } from './peft_import.ts'

/** Share of the work after which the parent hears of it again. */
const REPORT_EVERY = 0.005

if (process.connected) {
  process.on('disconnect', () => process.exit(1))
  // The parent decides when this ends; a Ctrl+C in its terminal reaches the whole group.
  process.on('SIGINT', () => undefined)
  process.on('message', (message: ToConverter) => {
    if (message.type === 'start') void start(message.task)
    else if (message.type === 'ping') {
      send({ type: 'pong', id: message.id, stats: { rssBytes: process.memoryUsage.rss() } })
    } else process.exit(0)
  })
} else {
  console.error('this program is started by ai-hub: see "ai-hub help adapters"')
  process.exitCode = 2
}

async function start(task: ConvertTask): Promise<void> {
  try {
    send({ type: 'finished', ...(await convert(task)) })
  } catch (thrown) {
    send({ type: 'failed', error: HubError.from(thrown).toBody() })
  }
}

async function convert(task: ConvertTask): Promise<ConvertResult> {
  const { output } = task
  switch (task.kind) {
    case 'merge': {
      let last = 0
      const report = (fraction: number): void => {
        if (fraction - last < REPORT_EVERY && fraction < 1) return
        last = fraction
        send({ type: 'progress', fraction })
      }
      return { output, bytes: await mergeAdapter(task, report) }
    }
    case 'export':
      return { output, bytes: await exportPeft(task) }
    case 'import': {
      const { bytes, madeFor } = await importPeft(task)
      return { output, bytes, ...(madeFor !== undefined && { madeFor }) }
    }
  }
}

function send(message: FromConverter): void {
  if (process.connected) process.send?.(message, undefined, undefined, () => undefined)
}
