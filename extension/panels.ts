/** The hub's pages inside the editor: the chat in a panel and in the side bar, each the very page that a browser shows. */
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import * as vscode from 'vscode'
import type { ToPanel } from '../server/wire/panel.ts'
import type { Api } from './api.ts'
import type { Events } from './events.ts'
import type { Hub } from './hub.ts'
import { type EditorMessage, type Serving, serveBridge } from './panel_bridge.ts'
import type { PanelEditor } from './panel_editor.ts'
import { readKept, writeKept } from './panel_kept.ts'
import { pageHtml } from './panel_page.ts'

/** Those that are built from webview/: NAME.js with NAME.css. */
const PAGES = ['chat', 'dashboard'] as const
type Page = (typeof PAGES)[number]

/** The view of the side bar, by its name in package.json. */
const VIEW = 'aiHub.chat'
/** By this name the editor brings a panel back after a reload; package.json has an activation event for each. */
const panelType = (page: Page): string => `ai-hub.${page}`

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
  /** Panels whose page hears what is said to it. */
  readonly #listening = new Set<vscode.Webview>()
  readonly #serving = new Set<Serving>()
  /** For the chat, as soon as it listens. */
  #drafts: string[] = []
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
    // Somebody else may have asked for it meanwhile.
    if (this.#panels.has(page)) return this.open(page, route)
    const column = vscode.window.activeTextEditor === undefined ? vscode.ViewColumn.Active : vscode.ViewColumn.Beside
    if (column === vscode.ViewColumn.Beside) this.#keepAlone(panelType(page))
    const panel = vscode.window.createWebviewPanel(panelType(page), title(page), column, {
      // An answer goes on while another tab is looked at.
      retainContextWhenHidden: true,
      enableFindWidget: true,
    })
    this.#take(page, panel, route)
  }

  /** Opens the chat with a text in the box where a message is written. */
  async draft(text: string): Promise<void> {
    this.#drafts.push(text)
    await this.open('chat')
    const webview = this.#panels.get('chat')?.webview
    if (webview !== undefined && this.#listening.has(webview)) this.#sendDrafts(webview)
  }

  resolveWebviewView(view: vscode.WebviewView): void {
    const serving = this.#serve('chat', view.webview, 'view')
    view.onDidDispose(() => void serving.end())
  }

  /** Ends all pages. The panels themselves stay, so that the editor brings them back when its window was reloaded. */
  async dispose(): Promise<void> {
    for (const each of this.#subscriptions.splice(0)) each.dispose()
    await Promise.all([...this.#serving].map(serving => serving.end()))
  }

  /** A column that is made for a panel stays the panel's: files that are opened from now on go to the others. */
  #keepAlone(type: string): void {
    const { tabGroups } = vscode.window
    const look = (): void => {
      const { tabs } = tabGroups.activeTabGroup
      // The editor puts a word of its own before the type.
      const isPanel = tabs.some(({ input }) => input instanceof vscode.TabInputWebview && input.viewType.endsWith(type))
      if (!isPanel) return
      waiting.dispose()
      if (tabs.length === 1) void vscode.commands.executeCommand('workbench.action.lockEditorGroup')
    }
    const waiting = vscode.Disposable.from(tabGroups.onDidChangeTabs(look), tabGroups.onDidChangeTabGroups(look))
  }

  #take(page: Page, panel: vscode.WebviewPanel, route = ''): void {
    const { context } = this.#deps
    panel.title = title(page)
    panel.iconPath = vscode.Uri.joinPath(context.extensionUri, 'media', 'icon.png')
    const serving = this.#serve(page, panel.webview, 'panel', route)
    this.#panels.set(page, panel)
    panel.onDidDispose(() => {
      void serving.end()
      if (this.#panels.get(page) === panel) this.#panels.delete(page)
    })
  }

  #serve(page: Page, webview: vscode.Webview, place: 'panel' | 'view', route = ''): Serving {
    const { context, hub } = this.#deps
    const folder = join(hub.folder, 'dist', 'webview')
    if (!existsSync(join(folder, `${page}.js`))) {
      throw new Error(vscode.l10n.t('The pages are not built: run "npm run build" in {0}.', hub.folder))
    }
    const root = vscode.Uri.file(folder)
    webview.options = { enableScripts: true, localResourceRoots: [root] }
    const serving = serveBridge(webview, {
      ...this.#deps,
      act: message => {
        this.#act(message, `${page} ${place}`).catch((thrown: unknown) => {
          void vscode.window.showErrorMessage(thrown instanceof Error ? thrown.message : String(thrown))
        })
      },
      listening: () => {
        this.#listening.add(webview)
        if (webview === this.#panels.get('chat')?.webview) this.#sendDrafts(webview)
      },
    })
    webview.html = pageHtml({
      name: page,
      title: title(page),
      nonce: randomBytes(18).toString('base64url'),
      file: name => webview.asWebviewUri(vscode.Uri.joinPath(root, name)).toString(),
      language: vscode.env.language,
      state: readKept(context, `${page} ${place}`),
      route,
    })
    const own: Serving = {
      end: () => {
        this.#listening.delete(webview)
        this.#serving.delete(own)
        return serving.end()
      },
    }
    this.#serving.add(own)
    return own
  }

  #sendDrafts(webview: vscode.Webview): void {
    for (const text of this.#drafts.splice(0)) void webview.postMessage({ type: 'draft', text } satisfies ToPanel)
  }

  async #act(message: EditorMessage, place: string): Promise<void> {
    const { context, editor } = this.#deps
    switch (message.type) {
      case 'keep':
        await writeKept(context, place, message)
        return
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
