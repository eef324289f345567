/** Unpacks an archive of npm, a gzipped tar, without a program of the system. */
import { createReadStream } from 'node:fs'
import { type FileHandle, mkdir, open } from 'node:fs/promises'
import { dirname, resolve, sep } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { createGunzip } from 'node:zlib'
import { HubError } from './error.ts'

const BLOCK = 512

type Entry = { path: string; bytes: number; type: string }

/**
 * Writes the files of the archive that are wanted below a folder; links and devices are left out.
 * @param wants is asked with the path in the archive, `/` between its parts, without npm's `package/`
 * @throws HubError unusable_answer when it is not such an archive, is cut off, or has a path that leads out of the folder
 */
export async function untar(
  archive: string,
  into: string,
  wants: (path: string) => boolean,
  signal: AbortSignal,
): Promise<void> {
  const bad = (what: string): HubError => new HubError('unusable_answer', `${archive} ${what}.`)
  const root = resolve(into)
  let file: FileHandle | undefined
  try {
    await pipeline(
      createReadStream(archive),
      createGunzip(),
      async (source: AsyncIterable<Buffer>) => {
        let rest: Buffer = Buffer.alloc(0)
        /** Of the entry that is being read: bytes of its body, then those that fill its last block. */
        let left = 0
        let filling = 0
        let longPath: string | undefined
        /** Body of an entry that only says how the next one is called. */
        let said: Buffer[] | undefined
        for await (const chunk of source) {
          let data: Buffer = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
          rest = Buffer.alloc(0)
          while (data.length > 0) {
            if (left > 0) {
              const body = data.subarray(0, left)
              await file?.appendFile(body)
              said?.push(Buffer.from(body))
              left -= body.length
              data = data.subarray(body.length)
              if (left === 0) {
                await file?.close()
                file = undefined
                if (said !== undefined) longPath = pathOf(Buffer.concat(said))
                said = undefined
              }
            } else if (filling > 0) {
              const skipped = Math.min(filling, data.length)
              filling -= skipped
              data = data.subarray(skipped)
            } else if (data.length < BLOCK) {
              rest = data
              break
            } else {
              const entry = parseHeader(data.subarray(0, BLOCK))
              data = data.subarray(BLOCK)
              if (entry === 'end') continue
              if (entry === undefined) throw bad('is not a tar archive')
              left = entry.bytes
              filling = (BLOCK - (left % BLOCK)) % BLOCK
              if (entry.type === 'x' || entry.type === 'L') {
                said = []
                continue
              }
              const path = (longPath ?? entry.path).replace(/^[^/]+\//, '')
              longPath = undefined
              if (!['0', '\0', ''].includes(entry.type) || !wants(path)) continue
              const target = resolve(root, path)
              if (!target.startsWith(root + sep)) throw bad(`has a path that leads out of it, ${path}`)
              await mkdir(dirname(target), { recursive: true })
              file = await open(target, 'w')
              if (left === 0) {
                await file.close()
                file = undefined
              }
            }
          }
        }
        if (left > 0 || rest.length > 0) throw bad('is cut off')
      },
      { signal },
    )
  } catch (thrown) {
    if (thrown instanceof Error && 'code' in thrown && /^(Z_|ERR_.*ZLIB)/.test(String(thrown.code))) {
      throw bad(`cannot be unpacked: ${thrown.message}`)
    }
    throw thrown
  } finally {
    await file?.close()
  }
}

/** The fields of POSIX ustar; undefined when it is none. */
function parseHeader(block: Buffer): Entry | 'end' | undefined {
  if (block.every(byte => byte === 0)) return 'end'
  const text = (from: number, length: number): string =>
    block
      .subarray(from, from + length)
      .toString('utf8')
      .replace(/\0.*$/s, '')
  const octal = (from: number, length: number): number => Number.parseInt(text(from, length).trim() || '0', 8)
  const sum = block.reduce((total, byte, index) => total + (index >= 148 && index < 156 ? 32 : byte), 0)
  const bytes = octal(124, 12)
  if (octal(148, 8) !== sum || !Number.isSafeInteger(bytes)) return undefined
  const prefix = text(257, 5) === 'ustar' ? text(345, 155) : ''
  return { path: prefix === '' ? text(0, 100) : `${prefix}/${text(0, 100)}`, bytes, type: text(156, 1) }
}

/** Of a pax header (`27 path=...`) or of GNU's long name; undefined when it says something else. */
function pathOf(body: Buffer): string | undefined {
  const text = body.toString('utf8')
  if (/^\d+ \w+/.test(text)) return /^\d+ path=(.*)$/m.exec(text)?.[1]
  return text.replace(/\0.*$/s, '') || undefined
}
