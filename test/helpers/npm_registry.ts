/** A registry of npm packages on this machine, with archives made of a few files. */
import { createHash } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gzipSync } from 'node:zlib'

export type PackageFiles = { [path: string]: string | Buffer }
export type Registry = {
  url: string
  /** `METHOD path` of each request, with its range. */
  asked: string[]
}

/** A gzipped tar as npm makes it: everything below package/, long paths in a pax header. */
export function makeArchive(files: PackageFiles): Buffer {
  const blocks: Buffer[] = []
  for (const [path, content] of Object.entries(files)) {
    const name = `package/${path}`
    const body = Buffer.from(content)
    if (name.length > 100) {
      const field = ` path=${name}\n`
      let length = field.length + 2
      while (String(length).length + field.length !== length) length++
      blocks.push(...entry('pax', Buffer.from(`${length}${field}`), 'x'))
    }
    blocks.push(...entry(name.slice(0, 100), body, '0'))
  }
  return gzipSync(Buffer.concat([...blocks, Buffer.alloc(1024)]))
}

function entry(name: string, body: Buffer, type: string): Buffer[] {
  const header = Buffer.alloc(512)
  header.write(name, 0)
  header.write('0000644\0', 100)
  header.write(`${body.length.toString(8).padStart(11, '0')}\0`, 124)
  header.write('        ', 148)
  header.write(type, 156)
  header.write('ustar\0' + '00', 257)
  const sum = header.reduce((total, byte) => total + byte, 0)
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
  return [header, body, Buffer.alloc((512 - (body.length % 512)) % 512)]
}

export const integrityOf = (archive: Buffer): string =>
  `sha512-${createHash('sha512').update(archive).digest('base64')}`

/** Serves the archives by `NAME@VERSION`; closed with the test. */
export async function startRegistry(
  context: { after(close: () => Promise<void>): void },
  archives: { [spec: string]: Buffer },
): Promise<Registry> {
  const asked: string[] = []
  const server = createServer((request, response) => {
    const { method = '', url = '', headers } = request
    asked.push(`${method} ${url}${headers.range === undefined ? '' : ` ${headers.range}`}`)
    const [, file] = /^\/files\/(.+)$/.exec(url) ?? []
    const [, name, version] = /^\/(.+)\/([\d.]+)$/.exec(url) ?? []
    const archive = archives[decodeURIComponent(file ?? `${decodeURIComponent(name ?? '')}@${version}`)]
    if (archive === undefined) {
      response.writeHead(404).end('{}')
    } else if (file === undefined) {
      const tarball = `http://${headers.host}/files/${encodeURIComponent(`${decodeURIComponent(name!)}@${version}`)}`
      response.setHeader('content-type', 'application/json')
      response.end(JSON.stringify({ license: 'MIT', dist: { tarball, integrity: integrityOf(archive) } }))
    } else {
      const from = Number(/^bytes=(\d+)-/.exec(headers.range ?? '')?.[1] ?? 0)
      const body = archive.subarray(from)
      response.writeHead(from > 0 ? 206 : 200, {
        'content-length': body.length,
        ...(from > 0 && { 'content-range': `bytes ${from}-${archive.length - 1}/${archive.length}` }),
      })
      response.end(method === 'HEAD' ? undefined : body)
    }
  })
  await new Promise<void>(done => server.listen(0, '127.0.0.1', done))
  context.after(async () => {
    server.closeAllConnections()
    await new Promise(done => server.close(done))
  })
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    asked,
  }
}
