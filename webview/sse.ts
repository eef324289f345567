/** Server-sent events out of pieces of text that break anywhere. */

/** Takes the next piece and gives the texts behind `data: ` of the events that are whole now. */
export function createEventReader(): (piece: string) => string[] {
  let rest = ''
  return piece => {
    rest += piece
    const events = rest.split('\n\n')
    rest = events.pop() ?? ''
    return events.flatMap(event => {
      const lines = event.split('\n').filter(line => line.startsWith('data:'))
      if (lines.length === 0) return []
      return [lines.map(line => line.slice('data:'.length).replace(/^ /, '')).join('\n')]
    })
  }
}
