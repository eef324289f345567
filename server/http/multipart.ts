/** Reads a multipart/form-data body: fields into memory, the one file streamed to the disk with its SHA-256 taken on the way. */
import { createHash, randomBytes } from 'node:crypto'
import { createWriteStream, mkdirSync, openSync, rmSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { join, win32 } from 'node:path'
import { Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import busboy from 'busboy'
import { HubError } from '../lib/error.ts'

export type Upload = {
  fields: { [name: string]: string }
  /** A temporary file, whole and flushed; the caller moves or deletes it. */
  file?: { path: string; filename: string; bytes: number; sha256: string }
}

const PART_ENDING = '.part'

/**
 * @param options.folder where the temporary file is written
 * @throws HubError unsupported_media_type, invalid_request, payload_too_large, insufficient_storage, cancelled; nothing stays behind then
 */
export async function receiveUpload(
  request: IncomingMessage,
  options: { folder: string; maxBytes: number; field: string },
): Promise<Upload> {
  const { folder, maxBytes, field } = options
  const type = (request.headers['content-type'] ?? '').split(';', 1)[0]!.trim().toLowerCase()
  if (type !== 'multipart/form-data') {
    throw new HubError('unsupported_media_type', `Send the body as Content-Type: multipart/form-data, not '${type}'.`)
  }
  const tooLarge = (): HubError =>
    new HubError(
      'payload_too_large',
      `The file is larger than ${Math.round(maxBytes / 2 ** 20)} MiB, the setting maxUploadMiB. Raise it, or copy the file into training_data and name its path.`,
      { param: field },
    )
  // A part's own headers and fields come on top of the file.
  if (Number(request.headers['content-length'] ?? 0) > maxBytes + 2 ** 20) throw tooLarge()
  let parser: busboy.Busboy
  try {
    parser = busboy({
      headers: request.headers,
      defParamCharset: 'utf8',
      limits: {
        files: 1,
        fields: 20,
        parts: 21,
        fieldSize: 64 * 1024,
        fieldNameSize: 200,
        headerPairs: 50,
        fileSize: maxBytes,
      },
    })
  } catch (cause) {
    throw new HubError('invalid_request', `The body is not valid multipart/form-data: ${(cause as Error).message}.`, {
      cause,
    })
  }
  mkdirSync(folder, { recursive: true })
  const path = join(folder, `${randomBytes(12).toString('hex')}${PART_ENDING}`)
  const fields: Upload['fields'] = {}
  let writing: Promise<Upload['file']> | undefined
  let problem: HubError | undefined
  parser.on('field', (name, value, info) => {
    if (info.nameTruncated || info.valueTruncated) {
      problem ??= new HubError('invalid_request', `The field '${name}' is too long.`, { param: name })
    } else if (Object.hasOwn(fields, name)) {
      problem ??= new HubError('invalid_request', `The field '${name}' is given twice.`, { param: name })
    } else fields[name] = value
  })
  parser.on('file', (name, stream, info) => {
    if (name !== field) {
      problem ??= new HubError(
        'unsupported_parameter',
        `Unknown parameter: '${name}'. The file's part is '${field}'.`,
        {
          param: name,
        },
      )
      stream.resume()
      return
    }
    writing = store(stream, path, tooLarge, baseName(info.filename))
    // It is awaited once the whole body is there; a failure before that must not count as unheard.
    writing.catch(() => request.unpipe(parser).resume())
  })
  for (const [event, what] of [
    ['filesLimit', 'more than one file'],
    ['fieldsLimit', 'too many fields'],
    ['partsLimit', 'too many parts'],
  ] as const) {
    parser.on(event, () => {
      problem ??= new HubError('invalid_request', `The body has ${what}. Send one file at a time.`)
    })
  }
  try {
    await parsed(request, parser, () => writing)
    const file = await writing
    if (problem !== undefined) throw problem
    return { fields, ...(file !== undefined && { file }) }
  } catch (thrown) {
    await writing?.catch(() => undefined)
    rmSync(path, { force: true })
    throw thrown
  }
}

/** Resolves when the whole body was read, and rejects as soon as it cannot be. */
function parsed(
  request: IncomingMessage,
  parser: busboy.Busboy,
  writing: () => Promise<unknown> | undefined,
): Promise<void> {
  return new Promise((resolve, reject) => {
    parser.once('close', resolve)
    parser.once('error', (cause: Error) => {
      request.unpipe(parser)
      reject(new HubError('invalid_request', `The body is not valid multipart/form-data: ${cause.message}.`, { cause }))
    })
    parser.on('file', () => writing()?.catch(reject))
    const gone = () => {
      if (request.complete) return
      parser.destroy()
      reject(new HubError('cancelled', 'The client went away before the body was whole.'))
    }
    request.once('close', gone)
    request.once('error', gone)
    request.pipe(parser)
  })
}

async function store(
  stream: NodeJS.ReadableStream & { truncated?: boolean },
  path: string,
  tooLarge: () => HubError,
  filename: string,
): Promise<Upload['file']> {
  const hash = createHash('sha256')
  let bytes = 0
  const measure = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk)
      bytes += chunk.length
      done(null, chunk)
    },
  })
  try {
    const target = createWriteStream(path, { fd: openSync(path, 'wx'), flush: true })
    await pipeline(stream, measure, target)
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOSPC') {
      throw new HubError('insufficient_storage', 'The disk is full; free some space and send the file again.', {
        cause,
      })
    }
    throw cause
  }
  if (stream.truncated === true) throw tooLarge()
  return { path, filename, bytes, sha256: hash.digest('hex') }
}

/** The last part of a name that may hold folders of any system; control characters are no part of a name. */
function baseName(name: string | undefined): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is taken out
  const base = win32.basename(name ?? '').replace(/[\u0000-\u001f\u007f]/g, '')
  return base === '' ? 'file' : base.slice(0, 255)
}
