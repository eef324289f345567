/** How busy and full the GPUs are, from NVIDIA's tool, from AMD's files, and from neither. */
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { createGpuReader, type GpuLoadDeps, parseNvidiaLoad } from '../../server/lib/gpu_load.ts'

const nowhere: GpuLoadDeps = {
  inUse: () => true,
  known: async () => [],
  now: () => 0,
  runProgram: async () => '',
  cards: join(tmpdir(), 'no-such-folder'),
}

test('rows of nvidia-smi, with what the card does not tell left out', () => {
  assert.deepEqual(parseNvidiaLoad('NVIDIA H200, 143771, 143000, 7\r\nOld card, 2048, [N/A], [Not Supported]\n'), [
    { name: 'NVIDIA H200', totalBytes: 143_771 * 2 ** 20, freeBytes: 143_000 * 2 ** 20, busy: 0.07 },
    { name: 'Old card', totalBytes: 2048 * 2 ** 20 },
  ])
  assert.deepEqual(parseNvidiaLoad(''), [])
})

test('the cards of amdgpu are read from their files', async context => {
  const cards = mkdtempSync(join(tmpdir(), 'hub-cards-'))
  context.after(() => rmSync(cards, { recursive: true, force: true }))
  const card = (name: string, files: { [file: string]: string }): void => {
    mkdirSync(join(cards, name, 'device'), { recursive: true })
    for (const [file, text] of Object.entries(files)) writeFileSync(join(cards, name, 'device', file), text)
  }
  const memory = { mem_info_vram_total: '1000\n', mem_info_vram_used: '400\n' }
  card('card1', { ...memory, gpu_busy_percent: '25\n', device: '0x744c\n' })
  card('card0', { device: '0x1234\n' })
  card('card1-DP-1', { ...memory, gpu_busy_percent: '99\n' })
  assert.deepEqual(await createGpuReader({ ...nowhere, cards })(), [
    { name: 'AMD 0x744c', totalBytes: 1000, freeBytes: 600, busy: 0.25 },
  ])
})

test('where nothing tells, what was found when the devices were tried counts, and a missing tool is not looked for again', async () => {
  let looked = 0
  const found = [{ name: 'card', totalBytes: 8, freeBytes: 3 }]
  const read = createGpuReader({
    ...nowhere,
    known: async () => found,
    runProgram: async () => {
      looked++
      return ''
    },
  })
  assert.deepEqual(await read(), found)
  assert.deepEqual(await read(), found)
  assert.equal(looked, 1)
  assert.deepEqual(await createGpuReader({ ...nowhere, known: () => Promise.reject(new Error('no')) })(), [])
})

test('a tool that has answered is asked again after it failed once, and two who ask at once get one answer', async () => {
  const said = ['card, 2, 1, 50\n', '', 'card, 2, 1, 100\n']
  const read = createGpuReader({ ...nowhere, runProgram: async () => said.shift() ?? 'none, 1, 1, 1\n' })
  assert.equal((await read())[0]?.busy, 0.5)
  assert.deepEqual(await read(), [])
  const [one, two] = await Promise.all([read(), read()])
  assert.equal(one[0]?.busy, 1)
  assert.equal(two, one)
})

test('a GPU that no model uses is asked once a minute', async () => {
  let looked = 0
  let used = false
  let now = 0
  const read = createGpuReader({
    ...nowhere,
    inUse: () => used,
    now: () => now,
    runProgram: async () => `card, 100, ${++looked}, 0`,
  })
  for (now = 0; now < 60_000; now += 2000) await read()
  assert.equal(looked, 1)
  await read()
  assert.equal(looked, 2)
  used = true
  await read()
  await read()
  assert.equal(looked, 4)
})
