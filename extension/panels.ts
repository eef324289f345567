/** The hub's pages inside the editor: the chat in a panel and in the side bar, each the very page that a browser shows. */
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import * as vscode from 'vscode'
import type { FromPanel, ToPanel } from '../server/wire/panel.ts'
import type { Api } from './api.ts'
import type { Events } from './events.ts'
import type { Hub } from './hub.ts'
import { serveBridge } from './panel_bridge.ts'
import type { PanelEditor } from './panel_editor.ts'
import { pageHtml } from './panel_page.ts'

/** Those that are built from webview/: NAME.js with NAME.css. */
const PAGES = ['chat', 'dashboard'] as const
type Page = (typeof PAGES)[number]

/** The view of the side bar, by its name in package.json. */
const VIEW = 'aiHub.chat'
/** By this name the editor brings a panel back after a reload; package.json has an activation event for each. */
const panelType = (page: Page): string => `ai-hub.${page}`
/** Of the editor's memory: what the pages keep. */
const KEPT = 'pages'

type Deps = {
  context: vscode.ExtensionContext
  hub: Hub
  api: Api
  events: Events
  log: vscode.LogOutputChannel
  editor: PanelEditor
}

export class Panels implements vscode.WebviewViewProvider, vscode.Disposable {
  readonly #deps: Deps
  readonly #panels = new Map<Page, vscode.WebviewPanel>()
  readonly #subscriptions: vscode.Disposable[]

  constructor(deps: Deps) {
    this.#deps = deps
    this.#subscriptions = [
      ...PAGES.map(page =>
        vscode.window.registerWebviewPanelSerializer(panelType(page), {
          deserializeWebviewPanel: async panel => this.#take(page, panel),
        }),
      ),
      vscode.window.registerWebviewViewProvider(VIEW, this, { webviewOptions: { retainContextWhenHidden: true } }),
    ]
  }

  /** Shows the page, beside the text that is open; with a route that part of it. */
  async open(page: Page, route?: string): Promise<void> {
    const open = this.#panels.get(page)
    if (open !== undefined) {
      open.reveal()
      if (route !== undefined) void open.webview.postMessage({ type: 'route', route } satisfies ToPanel)
      return
    }
    // The page says itself when the hub is away.
    await this.#deps.hub.ensure().catch(() => undefined)
    const column = vscode.window.activeTextEditor === undefined ? vscode.ViewColumn.Active : vscode.ViewColumn.Beside
    const panel = vscode.window.createWebviewPanel(panelType(page), title(page), column, {
      // An answer goes on while another tab is looked at.
      retainContextWhenHidden: true,
      enableFindWidget: true,
    })
    this.#take(page, panel, route)
  }

  resolveWebviewView(view: vscode.WebviewView): void {
    const serving = this.#serve('chat', view.webview)
    view.onDidDispose(() => serving.dispose())
  }

  dispose(): void {
    for (const each of this.#subscriptions) each.dispose()
    for (const panel of this.#panels.values()) panel.dispose()
  }

  #take(page: Page, panel: vscode.WebviewPanel, route = ''): void {
    const { context } = this.#deps
    panel.title = title(page)
    panel.iconPath = vscode.Uri.joinPath(context.extensionUri, 'media', 'icon.png')
    const serving = this.#serve(page, panel.webview, route)
    this.#panels.set(page, panel)
    panel.onDidDispose(() => {
      serving.dispose()
      if (this.#panels.get(page) === panel) this.#panels.delete(page)
    })
  }

  #serve(page: Page, webview: vscode.Webview, route = ''): vscode.Disposable {
    const { context, hub } = this.#deps
    const folder = join(hub.folder, 'dist', 'webview')
    if (!existsSync(join(folder, `${page}.js`))) {
      throw new Error(vscode.l10n.t('The pages are not built: run "npm run build" in {0}.', hub.folder))
    }
    const root = vscode.Uri.file(folder)
    webview.options = { enableScripts: true, localResourceRoots: [root] }
    const serving = serveBridge(webview, { ...this.#deps, act: message => this.#act(message), listening() {} })
    webview.html = pageHtml({
      name: page,
      title: title(page),
      nonce: randomBytes(18).toString('base64url'),
      file: name => webview.asWebviewUri(vscode.Uri.joinPath(root, name)).toString(),
      language: vscode.env.language,
      kept: context.globalState.get<{ [key: string]: string }>(KEPT, {}),
      route,
    })
    return serving
  }

  async #act(message: Exclude<FromPanel, { type: 'request' | 'upload' | 'cancel' | 'listen' }>): Promise<void> {
    const { context, editor } = this.#deps
    switch (message.type) {
      case 'keep': {
        const { [message.key]: _, ...rest } = context.globalState.get<{ [key: string]: string }>(KEPT, {})
        const kept = message.value === undefined ? rest : { ...rest, [message.key]: message.value }
        await context.globalState.update(KEPT, kept)
        return
      }
      case 'open':
        await this.#openPage(message.page, message.route)
        return
      case 'copy':
        await vscode.env.clipboard.writeText(message.text)
        return
      case 'save':
        await editor.save(message.filename, message.content)
        return
      case 'insert':
        await editor.insert(message.text)
        return
      case 'apply':
        await editor.apply(message)
    }
  }

  async #openPage(name: string, route: string | undefined): Promise<void> {
    const page = PAGES.find(each => each === name)
    if (page !== undefined) await this.open(page, route)
    else await vscode.env.openExternal(vscode.Uri.parse(`${(await this.#deps.hub.ensure()).url}/${name}`))
  }
}

function title(page: Page): string {
  return { chat: vscode.l10n.t('AI Chat'), dashboard: vscode.l10n.t('AI Dashboard') }[page]
}
