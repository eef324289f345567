/** What was acknowledged survives a kill -9 at any moment. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { openDatabase } from '../../server/storage/db.ts'
import { readResponse } from '../../server/storage/responses.ts'

/** Starts the writer, kills it once it has acknowledged so many rows, and gives every row that it acknowledged. */
function writeUntilKilled(path: string, prefix: string, rows: number): Promise<string[]> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'write_forever.ts'), path, prefix], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let text = ''
  let killed = false
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk
    if (!killed && text.split('\n').length > rows) {
      killed = true
      child.kill('SIGKILL')
    }
  })
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', code => {
      if (killed) resolve(text.split('\n').slice(0, -1))
      else reject(new Error(`The writer ended by itself with ${code}.`))
    })
  })
}

test('every acknowledged response is there after the writer was killed, several times over', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'hub-db-'))
  try {
    const path = join(folder, 'hub.db')
    const acknowledged: string[] = []
    for (const [round, rows] of [1, 37, 150, 411].entries()) {
      acknowledged.push(...(await writeUntilKilled(path, `round${round}`, rows)))
      const db = openDatabase(path)
      try {
        const lost = acknowledged.filter(id => readResponse(db, id) === undefined)
        assert.deepEqual(lost, [])
      } finally {
        db.close()
      }
    }
    assert.ok(acknowledged.length >= 1 + 37 + 150 + 411)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
