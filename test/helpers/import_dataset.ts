/** A process that imports a dataset over and over, for tests that kill it: home, name and file as arguments. */
import { importDataset } from '../../server/training/datasets.ts'

const [home = '', name = '', path = ''] = process.argv.slice(2)
process.stdout.write('ready\n')
for (;;) {
  const dataset = await importDataset(
    { home, now: () => 0 },
    { name, paths: [path], append: true },
    new AbortController().signal,
  )
  process.stdout.write(`${dataset.version}\n`)
}
