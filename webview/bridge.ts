/** What a page asks of the place where it runs: the hub, what survives a reload, and in VS Code the editor. */
import type { HubEvent } from '../server/wire/events.ts'
import type { FileOut } from '../server/wire/files.ts'
import type { Access } from './access.ts'

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'

export type Bridge = {
  place: 'browser' | 'panel'
  /** What the browser or the editor is set to, the best first. */
  languages: readonly string[]
  /** @throws HubFailure when the hub refuses or cannot be reached */
  request<T>(method: Method, path: string, body?: unknown, options?: RequestOptions): Promise<T>
  /** Reads server-sent events: the text behind `data: ` of each, until the end. @throws HubFailure */
  stream(path: string, body: unknown, signal: AbortSignal): AsyncGenerator<string>
  /** Largest file that can be given to the hub from here, in bytes; absent where there is no such limit. */
  maxUploadBytes?: number
  /** Gives a file to the hub, for training say. @throws HubFailure */
  upload(file: File, signal: AbortSignal): Promise<FileOut>
  /** The hub's events, and whether it is there; it is asked again until it is. Every listener hears all. */
  listen(listener: { event(event: HubEvent): void; connected(connected: boolean): void }): void
  /** What survives a reload, the same in every tab. */
  kept: Kept
  /** What survives a reload of this tab, whatever other tabs do; a new tab begins with what was kept last. */
  own: Kept
  /** Which part of the page is shown, `training/JOB` say: it survives a reload, and a browser has it in its history. */
  route: {
    get(): string
    set(route: string): void
    listen(listener: () => void): () => void
  }
  /** Another page. In a browser it has an address, for a link; a panel is asked to open it. */
  pages: { address(page: PageName, route?: string): string } | { open(page: PageName, route?: string): void }
  /** Only in a browser: the API key that the hub may want. */
  access?: Access
  /** Only where a page ends without a word, as a panel does: what is put to the hub then, in place of what was said before. */
  leave?(letters: { path: string; body: unknown }[]): void
  copy(text: string): Promise<void>
  save(filename: string, mediaType: string, content: string): void
  /** Only in VS Code. */
  editor?: {
    insert(text: string): void
    /** @param file as the text names it */
    apply(text: string, language: string, file: string | undefined): void
    /** Texts for the next message; they wait while nobody takes them. */
    drafts(listener: ((text: string) => void) | undefined): void
  }
}

export type PageName = 'chat' | 'dashboard' | 'docs'

export type Kept = { get(key: string): string | undefined; set(key: string, value: string | undefined): void }

/** `last` = the page is being left: the request must outlive it. */
export type RequestOptions = { signal?: AbortSignal; last?: boolean }
