/** What the machine gives: memory under container limits, cores, who holds a port, graphics cards; from recorded texts of each system. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { findCudaRuntimes, findGpus, parseNvidiaSmi, parseVideoControllers } from '../../server/lib/gpu.ts'
import { physicalCores, readMemory, vmStatAvailable } from '../../server/lib/memory.ts'
import { findPortHolder, listeningInodes, netstatPid, portTakenMessage } from '../../server/lib/port.ts'

const GIB = 2 ** 30
const MEMINFO = 'MemTotal:       16777216 kB\nMemFree:         1000000 kB\nMemAvailable:    8388608 kB\n'
const from =
  (files: { [path: string]: string }) =>
  (path: string): string | undefined =>
    files[path]

test('memory without a container is what the kernel calls available', () => {
  const memory = readMemory('linux', from({ '/proc/meminfo': MEMINFO, '/proc/self/cgroup': '0::/user.slice\n' }))
  assert.deepEqual(memory, { totalBytes: 16 * GIB, availableBytes: 8 * GIB })
})

test('a control group of version 2 limits it, page cache not counted as used, and so does a group above', () => {
  const files: { [path: string]: string } = {
    '/proc/meminfo': MEMINFO,
    '/proc/self/cgroup': '0::/pod/box\n',
    '/sys/fs/cgroup/pod/box/memory.max': 'max\n',
    '/sys/fs/cgroup/pod/memory.max': `${4 * GIB}\n`,
    '/sys/fs/cgroup/pod/memory.current': `${3 * GIB}\n`,
    '/sys/fs/cgroup/pod/memory.stat': `anon ${GIB}\ninactive_file ${1.5 * GIB}\nactive_file ${0.5 * GIB}\n`,
  }
  assert.deepEqual(readMemory('linux', from(files)), { totalBytes: 4 * GIB, availableBytes: 3 * GIB })
})

test('a control group of version 1 limits it where the path of the host is not mounted', () => {
  const files: { [path: string]: string } = {
    '/proc/meminfo': MEMINFO,
    '/proc/self/cgroup': '5:cpu:/x\n4:memory:/docker/abc\n',
    '/sys/fs/cgroup/memory/memory.limit_in_bytes': `${2 * GIB}\n`,
    '/sys/fs/cgroup/memory/memory.usage_in_bytes': `${GIB}\n`,
    '/sys/fs/cgroup/memory/memory.stat': `total_inactive_file ${GIB / 2}\ntotal_active_file 0\n`,
  }
  assert.deepEqual(readMemory('linux', from(files)), { totalBytes: 2 * GIB, availableBytes: 1.5 * GIB })
  files['/sys/fs/cgroup/memory/memory.limit_in_bytes'] = '9223372036854771712\n'
  assert.equal(readMemory('linux', from(files)).totalBytes, 16 * GIB)
})

test('macOS: pages that are free or can be taken back', () => {
  const text = [
    'Mach Virtual Memory Statistics: (page size of 16384 bytes)',
    'Pages free:                               1000.',
    'Pages active:                             9000.',
    'Pages inactive:                           2000.',
    'Pages speculative:                         500.',
    'Pages purgeable:                           100.',
  ].join('\n')
  assert.equal(vmStatAvailable(text), 3600 * 16384)
  assert.equal(vmStatAvailable(''), undefined)
})

test('memory of this machine is a sensible number', () => {
  const { totalBytes, availableBytes } = readMemory()
  assert.ok(availableBytes > 0 && availableBytes <= totalBytes, `${availableBytes} of ${totalBytes}`)
})

test('hyper-threads of one core count once', async () => {
  const folder = '/sys/devices/system/cpu'
  const files = Object.fromEntries(
    ['0,4', '1,5', '2,6', '3,7', '0,4', '1,5', '2,6', '3,7'].map((list, cpu) => [
      `${folder}/cpu${cpu}/topology/thread_siblings_list`,
      `${list}\n`,
    ]),
  )
  const list = (): string[] => [...Array.from({ length: 8 }, (_, cpu) => `cpu${cpu}`), 'cpufreq', 'cpuidle']
  const deps = { readText: from(files), list, runProgram: async () => '6', usable: 8 }
  assert.equal(await physicalCores('linux', deps), 4)
  assert.equal(await physicalCores('linux', { ...deps, usable: 2 }), 2, 'no more than the process may use')
  assert.equal(await physicalCores('linux', { ...deps, list: () => [] }), 4, 'half where the system does not say')
  assert.equal(await physicalCores('win32', deps), 6)
  assert.equal(await physicalCores('darwin', { ...deps, runProgram: async () => 'NaN' }), 4)
  assert.equal(await physicalCores('freebsd', { ...deps, usable: 1 }), 1)
})

test('Linux names the process that listens on a port', {
  skip: process.platform !== 'linux' && 'Linux only',
}, async t => {
  const server = createServer()
  await new Promise<void>(done => server.listen(0, '127.0.0.1', done))
  t.after(() => server.close())
  const { port } = server.address() as AddressInfo
  const holder = await findPortHolder(port)
  assert.equal(holder?.pid, process.pid)
  assert.match(holder?.name ?? '', /node/)
})

test('only listening sockets of that port are looked at', () => {
  const table = [
    '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode',
    '   0: 0100007F:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 111 1',
    '   1: 0100007F:1F41 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 222 1',
    '   2: 0100007F:1F40 0100007F:9999 01 00000000:00000000 00:00000000 00000000  1000        0 333 1',
  ].join('\n')
  assert.deepEqual(listeningInodes(table, 8000), ['111'])
})

const NETSTAT = `
  Proto  Lokale Adresse         Remoteadresse          Status           PID
  TCP    127.0.0.1:8000         127.0.0.1:51000        HERGESTELLT      77
  TCP    0.0.0.0:80             0.0.0.0:0              ABHÖREN          4
  TCP    127.0.0.1:8000         0.0.0.0:0              ABHÖREN          1234
  TCP    [::1]:9000             [::]:0                 ABHÖREN          99
`

test('Windows names it in any language', async () => {
  assert.equal(netstatPid(NETSTAT, 8000), 1234)
  assert.equal(netstatPid(NETSTAT, 9000), 99)
  assert.equal(netstatPid(NETSTAT, 1), undefined)
  const programs: { [file: string]: string } = {
    netstat: NETSTAT,
    tasklist: '"python.exe","1234","Console","1","9 K"\r\n',
  }
  assert.deepEqual(await findPortHolder(8000, 'win32', async file => programs[file] ?? ''), {
    pid: 1234,
    name: 'python.exe',
  })
})

test('macOS names it by lsof; a missing program means that it is not known', async () => {
  assert.deepEqual(await findPortHolder(8000, 'darwin', async () => 'p321\ncollama\nf3\n'), {
    pid: 321,
    name: 'ollama',
  })
  assert.equal(await findPortHolder(8000, 'darwin', async () => ''), undefined)
  const broken = async (): Promise<string> => {
    throw new Error('no such program')
  }
  assert.equal(await findPortHolder(8000, 'win32', broken), undefined)
})

test('the message for a taken port says who and what to do', () => {
  assert.match(portTakenMessage('127.0.0.1', 8000, { pid: 5, name: 'ollama' }), /8000.*ollama \(process 5\).*--port/)
  assert.match(portTakenMessage('127.0.0.1', 8000, undefined), /another program/)
})

test('nvidia-smi rows become cards, and its failure none', async () => {
  const text = 'NVIDIA GeForce RTX 4060 Ti, 580.95, 8188, 7900\nNVIDIA GB10, 580.95, [N/A], [N/A]\n'
  assert.deepEqual(parseNvidiaSmi(text), [
    {
      name: 'NVIDIA GeForce RTX 4060 Ti',
      vendor: 'nvidia',
      driver: '580.95',
      totalBytes: 8188 * 2 ** 20,
      freeBytes: 7900 * 2 ** 20,
    },
    { name: 'NVIDIA GB10', vendor: 'nvidia', driver: '580.95' },
  ])
  assert.deepEqual(parseNvidiaSmi(''), [])
  const windows =
    '[{"Name":"NVIDIA GeForce RTX 4060 Ti","DriverVersion":"32.0.15"},{"Name":"AMD Radeon(TM) Graphics","DriverVersion":"31.0"}]'
  const programs: { [file: string]: string } = { 'nvidia-smi': text, 'powershell.exe': windows }
  const gpus = await findGpus('win32', async file => programs[file] ?? '')
  assert.deepEqual(
    gpus.map(gpu => gpu.name),
    ['NVIDIA GeForce RTX 4060 Ti', 'NVIDIA GB10', 'AMD Radeon(TM) Graphics'],
  )
  assert.deepEqual(await findGpus('win32', async () => ''), [])
  assert.deepEqual(await findGpus('win32', async () => '{broken'), [])
})

test('the CUDA runtimes are those that the loader finds', async context => {
  const folder = mkdtempSync(join(tmpdir(), 'cuda-runtime-'))
  context.after(() => rmSync(folder, { recursive: true, force: true }))
  const cache = '\tlibcudart.so.12 (libc6,x86-64) => /usr/lib/libcudart.so.12\n\tlibcublas.so.11 => /usr/lib/x\n'
  const run = async (file: string): Promise<string> => (file === 'ldconfig' ? cache : '')
  assert.deepEqual(await findCudaRuntimes('linux', run, {}), [12])
  writeFileSync(join(folder, 'libcudart.so.13.0.48'), '')
  assert.deepEqual(await findCudaRuntimes('linux', run, { LD_LIBRARY_PATH: folder }), [12, 13])
  writeFileSync(join(folder, 'cudart64_13.dll'), '')
  assert.deepEqual(await findCudaRuntimes('win32', async () => '', { PATH: folder }), [13])
  assert.deepEqual(await findCudaRuntimes('linux', async () => '', {}), [])
})

test('one video controller comes as an object, not a list', () => {
  assert.deepEqual(parseVideoControllers('{"Name":"Intel(R) UHD Graphics","DriverVersion":"30.0"}'), [
    { name: 'Intel(R) UHD Graphics', vendor: 'intel', driver: '30.0' },
  ])
  assert.deepEqual(parseVideoControllers('{"Name":"Microsoft Basic Display Adapter","DriverVersion":"10"}'), [])
})
