/** A process that reads a generated file of the given container and size in MiB, and says how many samples and how much memory that took. */
import { Readable } from 'node:stream'
import { readStream } from '../../server/training/formats.ts'

const [container = 'json', size = '200'] = process.argv.slice(2)
const bytes = Number(size) * 2 ** 20
const words = 'Một tập tin lớn được đọc từng phần một, không bao giờ đọc hết vào bộ nhớ. '.repeat(12)

function* pieces(): Generator<Buffer> {
  const record = (index: number): string =>
    container === 'csv'
      ? `"${index} ""${words}""\n",${words.replaceAll(',', '')}\n`
      : `${container === 'json' ? (index === 0 ? '[' : ',') : ''}${JSON.stringify({ prompt: `${index} ${words}`, completion: words })}\n`
  let made = 0
  if (container === 'csv') yield Buffer.from('prompt,completion\n')
  for (let index = 0; made < bytes; ) {
    // Pieces as a disk gives them.
    let text = ''
    while (text.length < 200_000) text += record(index++)
    const piece = Buffer.from(text)
    made += piece.length
    yield piece
  }
  if (container === 'json') yield Buffer.from(']')
}

const before = process.memoryUsage.rss()
let samples = 0
let problems = 0
for await (const read of readStream(
  Readable.from(pieces(), { objectMode: true, highWaterMark: 2 }),
  {},
  `large.${container}`,
)) {
  if ('sample' in read) samples++
  else problems++
}
// maxRSS is in KiB, on Windows too.
const peak = process.resourceUsage().maxRSS * 1024
process.stdout.write(JSON.stringify({ samples, problems, before, peak }))
