/** Curves in the terminal and as SVG, and the progress bar: as wide as asked, with the values at their places. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type Curve, drawCurves, progressBar, svgCurves } from '../../server/training/plot.ts'

const falling: Curve = { name: 'loss', points: Array.from({ length: 50 }, (_, step) => [step + 1, 4 / (step + 1)]) }

test('a falling curve begins above on the left and ends below on the right', () => {
  const lines = drawCurves([falling], { width: 40, height: 12, xName: 'step' }).split('\n')
  assert.equal(lines.length, 12)
  const plot = lines.slice(0, 10).map(line => line.slice(line.search(/[┤│]/) + 1))
  assert.match(plot[0]!, /^[⠁-⣿]/)
  assert.match(plot.at(-1)!, /[⠁-⣿]$/)
  assert.doesNotMatch(plot[0]!.slice(5), /[⠁-⣿]/)
  assert.match(lines[0]!, /^\s*4 ┤/)
  assert.match(lines[9]!, /^\s*0\.08 ┤/)
  assert.match(lines[11]!, /^\s+1 .* 50 step$/)
})

test('a straight line is straight', () => {
  const line: Curve = {
    name: '',
    points: [
      [0, 0],
      [19, 19],
    ],
  }
  const rows = drawCurves([line], { width: 14, height: 7 }).split('\n')
  const columns = rows.slice(0, 5).map(row => row.slice(row.search(/[┤│]/) + 1).search(/[⠁-⣿]/))
  assert.deepEqual(
    columns,
    [...columns].sort((a, b) => b - a),
  )
})

test('no line is wider than asked, whatever the values', () => {
  const value = fc.oneof(fc.double({ noNaN: false }), fc.integer({ min: -1000, max: 1000 }))
  fc.assert(
    fc.property(
      fc.array(fc.array(fc.tuple(value, value), { maxLength: 30 }), { minLength: 1, maxLength: 1 }),
      fc.integer({ min: 30, max: 120 }),
      fc.integer({ min: 6, max: 30 }),
      (curves, width, height) => {
        const named = curves.map((points, index) => ({ name: `c${index}`, points }))
        const lines = drawCurves(named, { width, height }).split('\n')
        assert.ok(lines.length <= height)
        for (const line of lines) assert.ok(line.length <= width, `${line.length} of ${width}: ${line}`)
      },
    ),
    { numRuns: 200, seed: 3 },
  )
})

test('several curves have a legend, and colours where they are wanted', () => {
  const curves = [
    falling,
    {
      name: 'validation',
      points: [
        [1, 3],
        [50, 1],
      ] as [number, number][],
    },
  ]
  assert.match(drawCurves(curves, { width: 60, height: 12 }), /━ loss {2}━ validation$/)
  const colored = drawCurves(curves, { width: 60, height: 12, color: true })
  assert.ok(colored.includes('\x1b[36m') && colored.includes('\x1b[33m'))
})

test('nothing, one value and the same value are drawn', () => {
  assert.equal(drawCurves([], { width: 40, height: 10 }), 'no values yet')
  assert.equal(drawCurves([{ name: '', points: [[1, Number.NaN]] }], { width: 40, height: 10 }), 'no values yet')
  assert.match(drawCurves([{ name: '', points: [[1, 2]] }], { width: 40, height: 10 }), /[⠁-⣿]/)
  assert.match(
    drawCurves(
      [
        {
          name: '',
          points: [
            [1, 0],
            [2, 0],
          ],
        },
      ],
      { width: 40, height: 10 },
    ),
    /[⠁-⣿]/,
  )
})

test('an SVG has a point per value, within its picture, and escapes what it says', () => {
  const svg = svgCurves(
    [
      {
        name: '<a & b>',
        points: [
          [1e-5, 3],
          [1e-3, 2],
          [1e-1, 5],
        ],
      },
    ],
    {
      title: 'T',
      xName: 'x',
      yName: 'y',
      logX: true,
    },
  )
  const points = [...svg.matchAll(/<circle cx="([\d.]+)" cy="([\d.]+)"/g)].map(([, x, y]) => [Number(x), Number(y)])
  assert.equal(points.length, 3)
  for (const [x, y] of points) assert.ok(x! >= 0 && x! <= 640 && y! >= 0 && y! <= 360)
  // The middle one lies in the middle of a logarithmic axis, the least loss lowest.
  assert.ok(Math.abs(points[1]![0]! - (points[0]![0]! + points[2]![0]!) / 2) < 0.2)
  assert.ok(points[1]![1]! > points[0]![1]! && points[0]![1]! > points[2]![1]!)
  assert.ok(svg.includes('&lt;a &amp; b&gt;') && !svg.includes('<a'))
})

test('a progress bar is as wide as asked and grows with the share', () => {
  fc.assert(
    fc.property(fc.double({ min: -1, max: 2 }), fc.string(), fc.integer({ min: 1, max: 150 }), (share, text, width) => {
      assert.ok(progressBar(share, text, width).length <= width)
    }),
    { numRuns: 200, seed: 8 },
  )
  assert.equal(progressBar(0.5, 'step 5', 33), `${'━'.repeat(9)}╸${' '.repeat(9)}  50 %  step 5`)
  const lengths = [0, 0.3, 0.6, 1].map(share => (progressBar(share, 'x', 60).match(/━/g) ?? []).length)
  assert.deepEqual(
    lengths,
    [...lengths].sort((a, b) => a - b),
  )
  assert.equal(lengths[0], 0)
})
