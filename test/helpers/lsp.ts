/** A language server over scripted models, with a client. */
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { silentLog } from '../../server/lib/log.ts'
import { connect, type LspDeps } from '../../server/lsp/connection.ts'
import type { TextSocket } from '../../server/lsp/socket.ts'
import { type FakeModels, type FakeOptions, fakeModels } from './fake_models.ts'

import { LspClient } from './lsp_client.ts'
import { VirtualTime } from './virtual_time.ts'

export type LspTest = {
  client: LspClient
  models: FakeModels
  time: VirtualTime
  collected: unknown[]
  /** What became of each suggestion, with the model's name in the settings. */
  counted: [model: string, type: string][]
  /** Ends the client's side of the connection. */
  hangUp(): void
}

/** A server over scripted models; time passes by `time.advance` only. */
export function lspServer(
  context: { after(close: () => void): void },
  options: FakeOptions & { deps?: Partial<LspDeps> } = {},
): LspTest {
  const time = new VirtualTime()
  const models = fakeModels(options)
  const collected: unknown[] = []
  const counted: [model: string, type: string][] = []
  let listener: (text: string) => void = () => {}
  const closers: (() => void)[] = []
  const early: string[] = []
  const socket: TextSocket = {
    send: text => setImmediate(() => client.take(text)),
    onMessage(next) {
      listener = next
      for (const text of early.splice(0)) next(text)
    },
    onClose: closer => closers.push(closer),
    close: () => hangUp(),
  }
  const client = new LspClient(text => setImmediate(() => listener(text)))
  const hangUp = (): void => {
    for (const closer of closers.splice(0)) closer()
  }
  connect(
    {
      models,
      defaultModel: () => 'fake',
      version: '0.0.0-test',
      // Where nothing is, nothing was dismissed.
      home: join(tmpdir(), 'ai-hub-test-no-home'),
      collect: outcome => collected.push(outcome),
      counted: (model, type) => counted.push([model, type]),
      log: silentLog,
      now: time.now,
      wait: time.wait,
      ...options.deps,
    },
    socket,
  )
  context.after(hangUp)
  return { client, models, time, collected, counted, hangUp }
}
