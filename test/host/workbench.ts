/** What a user does in VS Code's workbench, and sees there. Everything waits for a state; nothing sleeps. The selectors are VS Code's own: code_server/package.json pins its version. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { FrameLocator, Locator, Page } from 'playwright-core'
import { ROOT } from './bundle.ts'

const EDITOR = '.editor-group-container.active .monaco-editor'
/** Until the workbench is loaded and the extension is ready, on a machine that has other things to do. */
const START_MS = 120_000

export type Workbench = ReturnType<typeof workbench>

export function workbench(page: Page) {
  const input = page.locator('.quick-input-widget input.input')
  const row = (text: string | RegExp): Locator =>
    page.locator('.quick-input-list .monaco-list-row').filter({ hasText: text }).first()
  const preview = page.locator('.bulk-edit-panel')
  const wb = {
    status: (text: string): Locator =>
      page.locator('.statusbar-item[id*="aiHub.status"]').filter({ hasText: text }).first(),
    ghost: page.locator(`${EDITOR} .ghost-text-decoration, ${EDITOR} .ghost-text-decoration-preview`).first(),
    squiggle: (severity: 'error' | 'warning' | 'info'): Locator =>
      page.locator(`${EDITOR} .squiggly-${severity}`).first(),
    toast: (text: string | RegExp): Locator =>
      page.locator('.notification-toast .notification-list-item').filter({ hasText: text }).first(),
    input,
    row,

    async ready(status: string): Promise<void> {
      await page.locator('.monaco-workbench').waitFor({ timeout: START_MS })
      await wb.status(status).waitFor({ timeout: START_MS })
    },
    /** Types into the quick input, which is opened when it is not there, and waits for a row. */
    async quick(text: string, pick: string | RegExp): Promise<void> {
      // The workbench swallows the first keys while it restores itself.
      for (let tries = 0; tries < 10 && !(await input.isVisible()); tries++) {
        await page.keyboard.press('Control+P')
        await input.waitFor({ timeout: 3000 }).catch(() => {})
      }
      await input.fill(text)
      await row(pick).waitFor()
    },
    /** Runs a command of the palette by its title. */
    async run(title: string): Promise<void> {
      await wb.quick(`>${title}`, title)
      await row(title).click()
    },
    /** Chooses a row of the quick pick that is open. */
    async pick(text: string | RegExp): Promise<void> {
      await row(text).waitFor()
      await row(text).click()
    },
    async open(name: string): Promise<void> {
      await wb.quick(name, name)
      await row(name).click()
      await page.locator(`.tab.active[data-resource-name="${name}"]`).waitFor()
      await page.locator(EDITOR).first().click()
      await page.locator(`${EDITOR}.focused`).first().waitFor()
    },
    /** Types as a person does, key by key. */
    async type(text: string): Promise<void> {
      await page.keyboard.type(text, { delay: 30 })
    },
    /** A line of the editor that reads so, ghost text included; spaces count as one, since the editor draws them its own way. */
    line(text: string): Locator {
      const pattern = text
        .trim()
        .replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
        .replace(/\s+/g, '\\s+')
      return page
        .locator(`${EDITOR} .view-line`)
        .filter({ hasText: new RegExp(`^\\s*${pattern}\\s*$`) })
        .first()
    },
    preview,
    /** Takes all edits of the preview, which shows them unticked. */
    async applyPreview(): Promise<void> {
      await preview
        .locator('.monaco-list-row .monaco-checkbox, .monaco-list-row input[type="checkbox"]')
        .first()
        .click()
      await preview.locator('.monaco-button', { hasText: 'Apply' }).click()
      await preview.locator('.monaco-list-row').first().waitFor({ state: 'hidden' })
    },
    /** The page in the webview that is in view; of several the one at that place. */
    webview: (index = 0): FrameLocator =>
      page
        .locator('iframe.webview.ready')
        .filter({ visible: true })
        .nth(index)
        .contentFrame()
        .frameLocator('#active-frame'),
    toastButton: (text: string | RegExp, button: string): Locator =>
      wb.toast(text).locator('.monaco-button', { hasText: button }),
  }
  return wb
}

/** What the palette calls a command. */
export function title(command: string): string {
  const texts = JSON.parse(readFileSync(join(ROOT, 'package.nls.json'), 'utf8')) as { [key: string]: string }
  return texts[`command.${command}`]!
}

/** Where the pictures are. */
export const SHOTS = join(import.meta.dirname, 'shots')

/** A picture in each theme, in the file names NAME-dark.png and NAME-light.png. */
export async function shoot(page: Page, folder: string, name: string): Promise<void> {
  for (const theme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme: theme })
    await page.locator(`.monaco-workbench.${theme === 'light' ? 'vs' : 'vs-dark'}`).waitFor()
    await page.screenshot({ path: `${folder}/${name}-${theme}.png` })
  }
}
