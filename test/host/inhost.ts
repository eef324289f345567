/** The suite inside the extension host, over the API that extensions have: `run()` serves the headless host here and @vscode/test-electron on a desktop. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as vscode from 'vscode'
import { type Outcome, REPORT, type Report } from './report.ts'
import { FIXED, RISKY, WRONG } from './script.ts'

type Api = { url(): string | undefined; ready: Promise<void> }
type Case = { name: string; run(): Promise<void> }

const EXTENSION = 'ai-backend-hub.ai-backend-hub'
const WAIT_MS = 60_000

/** One pixel; VS Code looks at it before it hands it on. */
const PICTURE = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
  'base64',
)

/** @throws Error when a case fails, which is what ends the editor with another code than 0 */
export async function run(): Promise<void> {
  const outcomes: Outcome[] = []
  const report: Report = {
    outcomes,
    activationMs: 0,
    host: `${vscode.env.appName} ${vscode.version}, Node ${process.versions.node}`,
  }
  for (const { name, run: work } of cases(report)) {
    const begun = performance.now()
    const outcome: Outcome = { name, ms: 0 }
    outcomes.push(outcome)
    try {
      await work()
    } catch (thrown) {
      outcome.error = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown)
    }
    outcome.ms = Math.round(performance.now() - begun)
    writeFileSync(process.env[REPORT] ?? join(folder().fsPath, 'report.json'), JSON.stringify(report, null, 2))
  }
  const failed = outcomes.filter(({ error }) => error !== undefined)
  if (failed.length > 0) throw new Error(failed.map(({ name, error }) => `${name}: ${error}`).join('\n\n'))
}

function cases(report: Report): Case[] {
  const all: Case[] = []
  const it = (name: string, work: () => Promise<void>): void => void all.push({ name, run: work })
  const extension = vscode.extensions.getExtension<Api>(EXTENSION)

  it('activates, starts the hub and speaks with it', async () => {
    assert.ok(extension, `${EXTENSION} is not installed`)
    const begun = performance.now()
    const api = await extension.activate()
    report.activationMs = Math.round(performance.now() - begun)
    await api.ready
    const answer = await fetch(`${api.url()}/health`)
    assert.equal(answer.status, 200)
    const { pid } = (await answer.json()) as { pid: number }
    assert.notEqual(pid, process.pid, 'the hub is a process of its own')
  })

  it('every command of the manifest exists', async () => {
    const manifest = extension!.packageJSON as { contributes: { commands: { command: string }[] } }
    const known = new Set(await vscode.commands.getCommands(true))
    const missing = manifest.contributes.commands.map(({ command }) => command).filter(command => !known.has(command))
    assert.deepEqual(missing, [])
  })

  it('ghost text is shown and taken', async () => {
    const editor = await show('total.ts', 'const prices = [1, 2]\nconst total = ')
    const end = editor.document.lineAt(1).range.end
    editor.selection = new vscode.Selection(end, end)
    await until('the suggestion', async () => {
      await vscode.commands.executeCommand('editor.action.inlineSuggest.trigger')
      await pause(500)
      await vscode.commands.executeCommand('editor.action.inlineSuggest.commit')
      return editor.document.lineAt(1).text !== 'const total = '
    })
    assert.equal(editor.document.lineAt(1).text, 'const total = prices.reduce((sum, price) => sum + price, 0)')
  })

  it("an error of TypeScript's own is fixed by a quick fix", async () => {
    const { document } = await show('wrong.ts', WRONG)
    await until('the error', async () => errors(document).length > 0)
    const [error] = errors(document)
    const actions = await vscode.commands.executeCommand<vscode.CodeAction[]>(
      'vscode.executeCodeActionProvider',
      document.uri,
      error!.range,
      'quickfix.aiHub',
      8,
    )
    const fix = actions.find(({ kind }) => kind?.value === 'quickfix.aiHub.fix')
    assert.ok(fix, `a fix among ${actions.map(({ title }) => title).join(', ')}`)
    assert.ok(fix.edit, 'its edits come when it is resolved')
    // Copied without the wish to be confirmed, which would open a preview.
    const edit = new vscode.WorkspaceEdit()
    for (const [uri, edits] of fix.edit.entries()) edit.set(uri, edits)
    assert.ok(await vscode.workspace.applyEdit(edit))
    await until('the text without the error', async () => document.getText() === FIXED)
    await until('no error', async () => errors(document).length === 0)
  })

  it('a review leaves its findings as diagnostics', async () => {
    const { document } = await show('pay.ts', RISKY)
    void vscode.commands.executeCommand('aiHub.review', 'file')
    await until('a finding', async () => findings(document).length > 0)
    const [finding] = findings(document)
    assert.equal(document.getText(finding!.range).includes('eval'), true)
  })

  it('settings count at once: off for all, off for a language, on again', async () => {
    const settings = vscode.workspace.getConfiguration('aiHub.completion')
    const { Global } = vscode.ConfigurationTarget
    const editor = await show('settings.ts', 'const prices = [4]\n')
    /** Whether typing brings one: asked for by a key of its own it comes in any case. */
    const comes = async (): Promise<boolean> => {
      const { document } = editor
      const all = new vscode.Range(0, 0, document.lineCount, 0)
      await editor.edit(edit => edit.replace(all, 'const prices = [4]\nconst total ='))
      editor.selection = new vscode.Selection(1, 13, 1, 13)
      await vscode.commands.executeCommand('type', { text: ' ' })
      await pause(700)
      await vscode.commands.executeCommand('editor.action.inlineSuggest.commit')
      return document.getText().includes('prices.reduce')
    }
    await until('a suggestion', comes)
    await settings.update('disabledLanguages', ['typescript'], Global)
    await until('none for the language', async () => !(await comes()))
    await settings.update('disabledLanguages', undefined, Global)
    await until('a suggestion again', comes)
    await vscode.commands.executeCommand('aiHub.toggleCompletion')
    await until('none at all', async () => !(await comes()))
    await vscode.commands.executeCommand('aiHub.toggleCompletion')
    await until('a suggestion after all', comes)
    await settings.update('enabled', undefined, Global)
  })

  it('a document without a file and a cell of a notebook are completed', async () => {
    const text = 'const prices = [5]\nconst total = '
    const untitled = await vscode.workspace.openTextDocument({ language: 'typescript', content: text })
    await until(
      'one without a file',
      async () => (await suggestions(untitled, untitled.lineAt(1).range.end)).length > 0,
    )
    const cell = new vscode.NotebookCellData(vscode.NotebookCellKind.Code, text, 'typescript')
    const notebook = await vscode.workspace.openNotebookDocument('jupyter-notebook', new vscode.NotebookData([cell]))
    await vscode.window.showNotebookDocument(notebook)
    await vscode.commands.executeCommand('notebook.focusTop')
    await vscode.commands.executeCommand('notebook.cell.edit')
    await vscode.commands.executeCommand('cursorBottom')
    await until('one in a cell', async () => {
      await vscode.commands.executeCommand('editor.action.inlineSuggest.trigger')
      await pause(500)
      await vscode.commands.executeCommand('editor.action.inlineSuggest.commit')
      return notebook.cellAt(0).document.getText().includes('prices.reduce')
    })
  })

  it('the models are there for the chat of the editor: facts, streaming, tools, tokens, a picture refused, a cancel', async () => {
    let model: vscode.LanguageModelChat | undefined
    await until('the model of the script', async () => {
      const models = await vscode.lm.selectChatModels({ vendor: 'ai-hub' })
      model = models.find(({ id }) => id === 'scripted-coder')
      return model !== undefined
    })
    assert.equal(model!.family, 'llama')
    assert.ok(model!.maxInputTokens > 0 && model!.maxInputTokens < 8192, String(model!.maxInputTokens))
    const { token } = new vscode.CancellationTokenSource()
    const ask = vscode.LanguageModelChatMessage.User
    const answer = await model!.sendRequest([ask('Who are you?')], {}, token)
    const pieces: string[] = []
    for await (const piece of answer.text) pieces.push(piece)
    assert.equal(pieces.join(''), 'I am a script.')
    assert.ok(pieces.length > 1, 'it streams')
    assert.equal(await model!.countTokens('I am a script.', token), 4)

    const inputSchema = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] }
    const tools = [{ name: 'weather', description: 'of a city', inputSchema }]
    const toolMode = vscode.LanguageModelChatToolMode.Required
    const called = await model!.sendRequest([ask('The weather in Hue?')], { tools, toolMode }, token)
    const calls: vscode.LanguageModelToolCallPart[] = []
    for await (const part of called.stream) if (part instanceof vscode.LanguageModelToolCallPart) calls.push(part)
    assert.deepEqual(
      calls.map(({ name, input }) => ({ name, input })),
      [{ name: 'weather', input: { city: 'Hue' } }],
    )
    const { callId } = calls[0]!
    const result = new vscode.LanguageModelToolResultPart(callId, [new vscode.LanguageModelTextPart('31 degrees')])
    const turns = [ask('The weather?'), vscode.LanguageModelChatMessage.Assistant([calls[0]!]), ask([result])]
    let after = ''
    for await (const piece of (await model!.sendRequest(turns, {}, token)).text) after += piece
    assert.equal(after, 'I am a script.')

    const { LanguageModelDataPart: Data } = vscode as unknown as {
      LanguageModelDataPart: { image(data: Uint8Array, mime: string): vscode.LanguageModelTextPart }
    }
    const picture = ask([Data.image(PICTURE, 'image/png')])
    let refusal: unknown
    try {
      for await (const _piece of (await model!.sendRequest([picture], {}, token)).text);
    } catch (thrown) {
      refusal = thrown
    }
    // What is thrown crosses to the other side of the editor as a plain object.
    assert.match((refusal as { message?: string } | undefined)?.message ?? '', /read text only.*image\/png/)
    const stop = new vscode.CancellationTokenSource()
    stop.cancel()
    await model!.sendRequest([ask('Go on')], {}, stop.token).then(
      async stopped => {
        for await (const piece of stopped.text) assert.fail(`wrote ${piece} after the cancel`)
      },
      () => {},
    )
  })

  it('a hub that is killed comes back', async () => {
    const api = extension!.exports
    const before = (await (await fetch(`${api.url()}/health`)).json()) as { pid: number }
    process.kill(before.pid, 'SIGKILL')
    await until('another hub', async () => {
      const answer = await fetch(`${api.url()}/health`).catch(() => undefined)
      return answer?.ok === true && ((await answer.json()) as { pid: number }).pid !== before.pid
    })
    const editor = await show('again.ts', 'const prices = [3]\nconst total = ')
    const end = editor.document.lineAt(1).range.end
    editor.selection = new vscode.Selection(end, end)
    await until('a suggestion of the new hub', async () => {
      await vscode.commands.executeCommand('editor.action.inlineSuggest.trigger')
      await pause(500)
      await vscode.commands.executeCommand('editor.action.inlineSuggest.commit')
      return editor.document.lineAt(1).text.includes('reduce')
    })
  })
  return all
}

function folder(): vscode.Uri {
  const first = vscode.workspace.workspaceFolders?.[0]
  assert.ok(first, 'a folder is open')
  return first.uri
}

async function show(name: string, text: string): Promise<vscode.TextEditor> {
  const uri = vscode.Uri.joinPath(folder(), name)
  await vscode.workspace.fs.writeFile(uri, new TextEncoder().encode(text))
  return vscode.window.showTextDocument(await vscode.workspace.openTextDocument(uri))
}

function errors({ uri }: vscode.TextDocument): vscode.Diagnostic[] {
  return vscode.languages.getDiagnostics(uri).filter(({ source }) => source === 'ts')
}

function findings({ uri }: vscode.TextDocument): vscode.Diagnostic[] {
  return vscode.languages.getDiagnostics(uri).filter(({ source }) => source === 'ai-review')
}

/** What VS Code would show as ghost text, asked of this extension as the editor asks it. */
async function suggestions(document: vscode.TextDocument, at: vscode.Position): Promise<unknown[]> {
  const editor = await vscode.window.showTextDocument(document, { preview: false })
  editor.selection = new vscode.Selection(at, at)
  const before = document.getText()
  await vscode.commands.executeCommand('editor.action.inlineSuggest.trigger')
  await pause(300)
  await vscode.commands.executeCommand('editor.action.inlineSuggest.commit')
  if (document.getText() === before) return []
  await vscode.commands.executeCommand('undo')
  return [before]
}

function pause(ms: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms))
}

async function until(what: string, isThere: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + WAIT_MS
  while (!(await isThere())) {
    if (Date.now() > end) throw new Error(`waited in vain for ${what}`)
    await pause(100)
  }
}
