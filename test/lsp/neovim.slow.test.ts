/** Neovim over `ai-hub lsp --stdio`: it attaches, gets findings as diagnostics, chooses code actions, and its text changes. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { createLspDoor } from '../../server/http/lsp.ts'
import { claimHub } from '../../server/lib/home.ts'
import { silentLog } from '../../server/lib/log.ts'
import { connect } from '../../server/lsp/connection.ts'
import { fakeModels } from '../helpers/fake_models.ts'
import { testHub } from '../helpers/hub.ts'
import { needNeovim } from '../host/install.ts'

const MAIN = resolve(import.meta.dirname, '..', '..', 'server', 'main.ts')
const needsNeovim = await needNeovim()

const TEXT = '-- Cộng hai số\nfunction add(a, b)\n  if a = 1 then return b end\n  return a + b\nend\n'

/** What each task's model says, told apart by the schema that it asks for. */
function answer(schema: string): unknown {
  if (schema.includes('findings')) {
    const replacement = 'if a == 1 then return b end'
    const quote = 'if a = 1 then return b end'
    return { findings: [{ quote, severity: 'error', category: 'bug', reason: 'Assigns.', replacement }] }
  }
  if (schema.includes('translations')) return { translations: ['Adds two numbers'] }
  if (schema.includes('summary')) return { summary: 'Adds', parameters: [], returns: '' }
  return { code: 'nothing' }
}

const script = (folder: string, command: string[]): string => `
local function step(name, value)
  local file = io.open([[${join(folder, 'steps.jsonl')}]], 'a')
  file:write(vim.fn.json_encode({ name, value }) .. '\\n')
  file:close()
end
local ok, failure = pcall(function()
  vim.cmd([[edit ${join(folder, 'a.lua')}]])
  local buffer = vim.api.nvim_get_current_buf()
  local id = vim.lsp.start_client({
    name = 'ai-hub',
    cmd = { ${command.map(part => `[[${part}]]`).join(', ')} },
    root_dir = [[${folder}]],
    workspace_folders = { { uri = [[${pathToFileURL(folder).href}]], name = 'work' } },
  })
  vim.lsp.buf_attach_client(buffer, id)
  local function wait(what, done)
    if not vim.wait(30000, done, 20) then error('waited in vain for ' .. what) end
  end
  local client = vim.lsp.get_client_by_id(id)
  wait('the server', function() return client.initialized end)
  step('server', client.server_capabilities.codeActionProvider.resolveProvider)
  local function text() return table.concat(vim.api.nvim_buf_get_lines(buffer, 0, -1, false), '\\n') end

  local review = client.request_sync('aiHub/review', { scope = 'file', uri = vim.uri_from_bufnr(buffer) }, 30000, buffer)
  step('review', review.result)
  wait('diagnostics', function() return #vim.diagnostic.get(buffer) == 1 end)
  local finding = vim.diagnostic.get(buffer)[1]
  step('finding', { finding.lnum, finding.col, finding.severity, finding.source, finding.message })

  local function act(pattern, line, column)
    vim.ui.select = function(items, options, choose)
      local titles = {}
      for _, item in ipairs(items) do
        -- Newer ones name what older ones number.
        local title = (item.action or item[2]).title
        table.insert(titles, title)
        if title:find(pattern) then return choose(item) end
      end
      error('not offered: ' .. pattern .. ' in ' .. table.concat(titles, ', '))
    end
    vim.api.nvim_win_set_cursor(0, { line, column })
    local before = text()
    vim.lsp.buf.code_action()
    wait(pattern, function() return text() ~= before end)
    step(pattern, text())
  end
  act('apply the suggested fix', 3, 4)
  wait('the finding to go', function() return #vim.diagnostic.get(buffer) == 0 end)
  act('translate comments', 1, 4)
  act('document add', 2, 10)
  client.stop()
  wait('the end', function() return client.is_stopped() end)
end)
if not ok then step('failure', failure) end
vim.cmd('qa!')
`

test('Neovim: findings, code actions that are resolved when chosen, and a clean end', needsNeovim, async context => {
  const folder = mkdtempSync(join(tmpdir(), 'ai-hub-neovim-'))
  context.after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }))
  const home = join(folder, 'home')
  mkdirSync(home)
  // A hub of this process: its models follow a script, all else is real.
  const models = fakeModels({
    info: { contextTokens: 20_000 },
    answer: ({ format }) => ({ deltas: [{ content: JSON.stringify(answer(JSON.stringify(format))) }] }),
  })
  const token = 'a'.repeat(48)
  const deps = { models, defaultModel: () => 'fake', version: '0', home, collect: () => {}, log: silentLog }
  const time = { now: () => performance.now(), wait: () => new Promise<void>(() => {}) }
  const door = createLspDoor({
    log: silentLog,
    open: async () => socket => void connect({ ...deps, ...time }, socket),
  })
  context.after(() => door.close())
  const { url } = await testHub(context, { server: { upgrade: door.upgrade } })
  const startedAt = 1_700_000_000_000
  const release = await claimHub(home, { pid: process.pid, url, version: '0', startedAt, token }, async () => false)
  context.after(release)

  writeFileSync(join(folder, 'a.lua'), TEXT)
  const command = [process.execPath, MAIN, 'lsp', '--stdio', '--home', home]
  writeFileSync(join(folder, 'script.lua'), script(folder, command))
  const env = {
    ...process.env,
    XDG_CACHE_HOME: folder,
    XDG_STATE_HOME: folder,
    XDG_DATA_HOME: folder,
    XDG_CONFIG_HOME: folder,
  }
  const neovim = spawn('nvim', ['--headless', '--clean', '-n', '-c', `luafile ${join(folder, 'script.lua')}`], { env })
  context.after(() => void neovim.kill('SIGKILL'))
  let said = ''
  neovim.stderr.on('data', (bytes: Buffer) => {
    said += bytes.toString()
  })
  const code = await new Promise(done => neovim.once('exit', done))
  assert.equal(code, 0, said)
  const steps = readFileSync(join(folder, 'steps.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map(line => JSON.parse(line) as unknown)
  const fixed = TEXT.replace('a = 1', 'a == 1').trimEnd()
  const translated = fixed.replace('Cộng hai số', 'Adds two numbers')
  assert.deepEqual(steps, [
    ['server', true],
    ['review', { files: 1, findings: 1, dropped: 0 }],
    ['finding', [2, 2, 1, 'ai-review', 'Assigns.']],
    ['apply the suggested fix', fixed],
    ['translate comments', translated],
    ['document add', translated.replace('function', '--- Adds.\nfunction')],
  ])
})
