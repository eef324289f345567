/** The project brings its own Node: whatever the machine has, the npm scripts run on 24. */
import assert from 'node:assert/strict'
import { test } from 'node:test'

test('Node is 24 or newer and runs TypeScript directly', () => {
  assert.ok(Number(process.versions.node.split('.')[0]) >= 24, `npm ci must bring Node 24; this is ${process.version}`)
  assert.equal(process.features.typescript, 'strip')
})
