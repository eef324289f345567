// Preloaded into a process and its children: a connection or name look-up beyond loopback is written to a file and refused.
import dns from 'node:dns'
import { appendFileSync } from 'node:fs'
import net from 'node:net'

const record = process.env.AI_HUB_TEST_OUTSIDE
const isLoopback = host => host === undefined || host === 'localhost' || host === '::1' || /^127\./.test(host)

function refuse(what) {
  appendFileSync(record, `${process.argv[1]}: ${what}\n`)
  throw new Error(`outside address: ${what}`)
}

const { connect } = net.Socket.prototype
net.Socket.prototype.connect = function (...args) {
  const [first] = Array.isArray(args[0]) ? args[0] : args
  const host =
    typeof first === 'object' && first !== null ? first.host : typeof first === 'number' ? args[1] : undefined
  if (!isLoopback(typeof host === 'string' ? host : undefined)) refuse(`connect ${host}`)
  return connect.apply(this, args)
}
for (const name of ['lookup', 'resolve', 'resolve4', 'resolve6']) {
  const original = dns[name]
  dns[name] = (host, ...rest) => (isLoopback(host) ? original(host, ...rest) : refuse(`look up ${host}`))
}
