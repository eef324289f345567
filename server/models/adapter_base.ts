/** Whether a base is still the file that an adapter was made for: by SHA-256, read in the background and once for each content. */
import { HubError } from '../lib/error.ts'
import type { Log } from '../lib/log.ts'
import type { ModelFile } from '../wire/model.ts'
import { type Adapter, adapterAt, changeCard } from './adapters.ts'

export type BaseCheck = {
  /** What speaks against the pair, as far as it is known by now. */
  note(adapter: Adapter, base: ModelFile): string | undefined
  /** Begins to find out, where it is not known. No answer waits for it: a large base takes seconds to read. */
  begin(adapter: Adapter, base: ModelFile): void
  /** Stops reading. */
  close(): Promise<void>
}

export type BaseCheckDeps = {
  home: string
  /** Hexadecimal, of a file. */
  sha256(path: string, signal: AbortSignal): Promise<string>
  log: Log
}

export function createBaseCheck({ home, sha256, log }: BaseCheckDeps): BaseCheck {
  /** By the content of the first file, as far as its size and time tell. */
  const known = new Map<string, string>()
  const closing = new AbortController()
  let last: Promise<void> = Promise.resolve()

  function note(adapter: Adapter, base: ModelFile): string | undefined {
    const wanted = wantedBy(adapter)
    const found = known.get(contentOf(base))
    if (wanted === undefined || found === undefined || wanted === found || isStamped(adapter, base)) return undefined
    return `it was made for another file than the ${base.id} that is there (SHA-256 ${wanted.slice(0, 12)}, not ${found.slice(0, 12)}): its answers may be worse; put that file back, or train it again.`
  }

  async function look(adapter: Adapter, base: ModelFile): Promise<void> {
    const content = contentOf(base)
    try {
      const found = known.get(content) ?? (await sha256(base.files[0]!, closing.signal))
      known.set(content, found)
      if (found === wantedBy(adapter)) stamp(adapter, base)
      else log.warn('an adapter is over another base', { model: adapter.id, reason: note(adapter, base) })
    } catch (thrown) {
      log.debug('a base was not checked', { model: base.id, reason: HubError.from(thrown).message })
    }
  }

  /** The card keeps which file was found to be the right one, so that it is not read again. */
  function stamp(adapter: Adapter, base: ModelFile): void {
    // A bare file has no card, and an older version keeps its own as it was.
    if (!adapter.current || adapter.card.base === undefined) return
    const now = adapterAt(home, adapter.base, adapter.name)
    if (now.fingerprint !== adapter.fingerprint) return
    changeCard(home, adapter.base, adapter.name, { base_bytes: base.bytes, base_modified_ms: base.modified_ms })
  }

  return {
    note,
    begin(adapter, base) {
      if (wantedBy(adapter) === undefined || isStamped(adapter, base) || closing.signal.aborted) return
      last = last.then(() => look(adapter, base))
    },
    async close() {
      closing.abort()
      await last
    },
  }
}

const wantedBy = ({ facts, card }: Adapter): string | undefined => facts?.base_sha256 ?? card.base_sha256

const isStamped = ({ card }: Adapter, base: ModelFile): boolean =>
  card.base_bytes === base.bytes && card.base_modified_ms === base.modified_ms

const contentOf = ({ files, bytes, modified_ms }: ModelFile): string => `${files[0]}\0${bytes}\0${modified_ms}`
