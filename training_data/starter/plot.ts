/** The loss of the stages as an SVG of plain shapes, for the model's card. */

export type Curve = {
  name: string
  training: [step: number, loss: number][]
  validation: [step: number, loss: number][]
}

const WIDTH = 720
const HEIGHT = 360
const LEFT = 48
const RIGHT = 16
const TOP = 32
const BOTTOM = 40
const GAP = 24

/** Curves side by side under one scale of the loss. */
export function plotLoss(curves: readonly Curve[]): string {
  const losses = curves.flatMap(({ training, validation }) =>
    [...smooth(training), ...validation].map(([, loss]) => loss),
  )
  const high = Math.ceil(Math.max(...losses, 1))
  const low = Math.floor(Math.min(...losses, high - 1))
  const y = (loss: number): number => TOP + ((high - loss) / (high - low)) * (HEIGHT - TOP - BOTTOM)
  const steps = curves.map(({ training }) => training.at(-1)?.[0] ?? 1)
  const total = steps.reduce((sum, each) => sum + each, 0)
  const room = WIDTH - LEFT - RIGHT - GAP * (curves.length - 1)
  const parts: string[] = []
  for (let loss = low; loss <= high; loss++) {
    parts.push(`<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${round(y(loss))}" y2="${round(y(loss))}" stroke="#ddd"/>`)
    parts.push(`<text x="${LEFT - 8}" y="${round(y(loss) + 4)}" text-anchor="end">${loss}</text>`)
  }
  let left = LEFT
  for (const [index, { name, training, validation }] of curves.entries()) {
    const width = (steps[index]! / total) * room
    const x = (step: number): number => left + (step / steps[index]!) * width
    const points = (line: [number, number][]): string =>
      line.map(([step, loss]) => `${round(x(step))},${round(y(loss))}`).join(' ')
    parts.push(`<polyline fill="none" stroke="#4878a8" stroke-width="1" points="${points(smooth(training))}"/>`)
    parts.push(`<polyline fill="none" stroke="#c44e52" stroke-width="2" points="${points(validation)}"/>`)
    // Neighbours stand on two lines, since the later stages are short.
    const [edge, anchor] = index > 0 && index === curves.length - 1 ? [WIDTH - RIGHT, 'end'] : [round(left), 'start']
    parts.push(
      `<text x="${edge}" y="${HEIGHT - 22 + 14 * (index % 2)}" text-anchor="${anchor}">${name}: ${steps[index]} steps</text>`,
    )
    left += width + GAP
  }
  parts.push(
    `<text x="${LEFT}" y="18">loss in nats per token: <tspan fill="#4878a8">training</tspan>, <tspan fill="#c44e52">validation on held-out packages</tspan></text>`,
  )
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12" fill="#333">`,
    '<title>Loss of training and validation by step</title>',
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>`,
    ...parts,
    '</svg>',
    '',
  ].join('\n')
}

/** Means of as many neighbours as leave about 150 points. */
function smooth(line: [number, number][]): [number, number][] {
  const each = Math.max(1, Math.ceil(line.length / 150))
  return Array.from({ length: Math.ceil(line.length / each) }, (_, index): [number, number] => {
    const part = line.slice(index * each, (index + 1) * each)
    const mean = (place: 0 | 1): number => part.reduce((sum, point) => sum + point[place], 0) / part.length
    return [mean(0), mean(1)]
  })
}

const round = (value: number): number => Math.round(value * 10) / 10
