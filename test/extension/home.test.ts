/** The extension looks for the hub where the hub says it is. */
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { findHub, readRecord, resolveHome } from '../../extension/home.ts'
import { resolveHome as hubsHome } from '../../server/lib/home.ts'

function folder(context: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'ai-hub-home-'))
  context.after(() => rmSync(path, { recursive: true, force: true }))
  return path
}

test('home is the same as the hub would choose', context => {
  const clone = folder(context)
  mkdirSync(join(clone, 'server'))
  writeFileSync(join(clone, 'package.json'), '{ "devDependencies": {} }')
  const packed = folder(context)
  mkdirSync(join(packed, 'server'))
  writeFileSync(join(packed, 'package.json'), '{}')
  for (const program of [clone, packed]) {
    for (const named of ['', join(clone, 'named')]) {
      for (const env of [
        {},
        { AI_HUB_HOME: join(clone, 'environment') },
        { XDG_DATA_HOME: '/x', LOCALAPPDATA: 'C:\\x' },
      ]) {
        for (const platform of ['linux', 'win32', 'darwin'] as const) {
          const common = { env, platform, userFolder: '/home/someone' }
          assert.equal(
            resolveHome({ ...common, named, program }),
            hubsHome({ ...common, home: named, projectFolder: program }),
            JSON.stringify({ named, env, platform }),
          )
        }
      }
    }
  }
})

test('a hub counts when it answers with the process and start time of its record', async context => {
  const home = folder(context)
  let startedAt = 5
  const server = createServer((_request, response) => response.end(JSON.stringify({ pid: 7, started_at: startedAt })))
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  context.after(() => server.close())
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  writeFileSync(join(home, 'hub.json'), JSON.stringify({ pid: 7, url, version: '1', startedAt: 5, token: 'secret' }))
  assert.deepEqual(await findHub(home), { url, token: 'secret', version: '1' })
  startedAt = 6
  assert.equal(await findHub(home), undefined)
})

test('no record, a broken one and one of a hub that is gone count as none', async context => {
  const home = folder(context)
  assert.equal(await findHub(home), undefined)
  for (const text of ['', '[]', '{ "pid": 1 }']) {
    writeFileSync(join(home, 'hub.json'), text)
    assert.equal(readRecord(home), undefined, text)
  }
  writeFileSync(join(home, 'hub.json'), JSON.stringify({ pid: 1, url: 'http://127.0.0.1:1', startedAt: 1 }))
  assert.equal(await findHub(home), undefined)
})
