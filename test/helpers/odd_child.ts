/** A child that misbehaves on demand: `hang` blocks its event loop, `eat` claims much memory, `die` ends, anything else answers pings. */
const [how] = process.argv.slice(2)
process.on('disconnect', () => process.exit(0))
process.on('message', (message: { type: string; id?: number }) => {
  if (message.type === 'exit') process.exit(0)
  if (message.type === 'hang') for (;;) Math.random()
  if (message.type === 'die') {
    process.stderr.write('GGML_ASSERT(n > 0) failed\n', () => process.abort())
    return
  }
  if (message.type === 'ping') {
    process.send?.({ type: 'pong', id: message.id, stats: { rssBytes: how === 'eat' ? 5e9 : 1e6 } })
  } else if (message.type === 'echo') process.send?.(message)
})
