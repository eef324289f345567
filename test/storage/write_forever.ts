/** A child of the durability test: stores responses one after another and prints each id once it is acknowledged. */
import { writeSync } from 'node:fs'
import { openDatabase } from '../../server/storage/db.ts'
import { storeResponse } from '../../server/storage/responses.ts'

const [path = '', prefix = ''] = process.argv.slice(2)
const db = openDatabase(path)
for (let i = 0; ; i++) {
  const id = `${prefix}-${i}`
  const response = { id, text: 'x'.repeat((i * 997) % 20_000) }
  storeResponse(db, { id, createdMs: i, model: 'm', status: 'completed', previousId: undefined, input: [i], response })
  writeSync(1, `${id}\n`)
}
