/** The head: logits of the supervised positions, their weighted cross-entropy, and its gradient, in chunks of rows and slices of the vocabulary. */
import { GGML_TYPE } from '../native/ggml_api.ts'
import type { Pointer } from '../native/structs.ts'
import { rmsNorm } from './blocks.ts'
import { type Network, need } from './network.ts'
import type { Value } from './tape.ts'

const { F32, I32, I64 } = GGML_TYPE
/** Above it the head's transpose is made slice by slice: for 128k x 4096 it would take 2 GiB. */
const SLICE = 8192

export type LossInputs = {
  /** I32 and I64 [supervised], the rows that are predicted from. */
  rows: Pointer
  rowsLong: Pointer
  /** I32 and I64 [supervised], row within its chunk x vocabulary + target. */
  targets: Pointer
  targetsLong: Pointer
  /** F32 [1, supervised] */
  weights: Pointer
  /** F32 [1], the sum. */
  loss: Pointer
}

export function lossInputs(net: Network, supervised: number): LossInputs {
  const input = net.tape.input.bind(net.tape)
  return {
    rows: input(I32, supervised),
    rowsLong: input(I64, supervised),
    targets: input(I32, supervised),
    targetsLong: input(I64, supervised),
    weights: input(F32, 1, supervised),
    loss: input(F32, 1),
  }
}

/** As many rows as make 64 MiB of logits, at least 32. */
export function chunkRows(supervised: number, vocabulary: number): number {
  return Math.min(supervised, Math.max(32, 2 ** Math.floor(Math.log2(2 ** 24 / vocabulary))))
}

/** x [width, T] at the rows given -> normed [width, supervised]; rows that are not given get no gradient. */
export function selectRows(net: Network, x: Value, inputs: LossInputs, supervised: number): Value {
  const { tape } = net
  const { op } = tape
  const y: Value = {
    tensor: op.get_rows(x.tensor, inputs.rows),
    shape: [x.shape[0], supervised, 1, 1],
    type: F32,
    needs: x.needs,
  }
  tape.record(y, dy => tape.addGradient(x, op.set_rows(op.scale(x.tensor, 0), dy, inputs.rowsLong)))
  return rmsNorm(net, y, 'output_norm')
}

export function headOf(net: Network): Value {
  return (net.family.tied ? undefined : net.tensor('output.weight')) ?? need(net, 'token_embd.weight')
}

/** hidden [width, n] -> logits [vocabulary, n], capped where the family does so. */
export function logitsOf(net: Network, hidden: Pointer): { logits: Pointer; bounded: Pointer | undefined } {
  const { op } = net.tape
  const cap = net.family.finalCap?.(net.numbers) ?? 0
  const raw = op.mul_mat(headOf(net).tensor, hidden)
  if (cap === 0) return { logits: raw, bounded: undefined }
  const bounded = op.tanh(op.scale(raw, 1 / cap))
  return { logits: op.scale(bounded, cap), bounded }
}

/**
 * Adds the sum of weight x -log p(target) to `inputs.loss` and gives `hidden` its gradient.
 * ggml's own cross-entropy cannot mask; here a target of weight 0 contributes exactly nothing.
 */
export function crossEntropy(net: Network, hidden: Value, inputs: LossInputs, options: { rows: number }): void {
  const { tape } = net
  const { op } = tape
  const { vocabulary } = net.numbers
  const [width, supervised] = hidden.shape
  const head = headOf(net)
  const recording = tape.recording && (hidden.needs || head.needs)
  let transposed: Pointer | undefined
  let gradient: Pointer | undefined
  for (let start = 0; start < supervised; start += options.rows) {
    const count = Math.min(options.rows, supervised - start)
    const part = op.view_2d(hidden.tensor, width, count, width * 4, start * width * 4)
    const { logits, bounded } = logitsOf(net, part)
    const flat = op.reshape_2d(op.soft_max(logits), 1, vocabulary * count)
    const chance = op.get_rows(flat, op.view_1d(inputs.targets, count, start * 4)) // [1, count]
    const weights = op.view_2d(inputs.weights, 1, count, 4, start * 4)
    const surprise = op.sum(op.mul(op.log(op.clamp(chance, 1e-30, 1)), weights))
    op.add_inplace(inputs.loss, op.scale(surprise, -1))
    if (!recording) continue
    // d loss / d logits = (p - [target]) x weight: p at the target is overwritten by p - 1.
    const shifted = op.set_rows(flat, op.scale_bias(chance, 1, -1), op.view_1d(inputs.targetsLong, count, start * 8))
    let dLogits = op.mul(op.reshape_2d(shifted, vocabulary, count), weights)
    if (bounded !== undefined) dLogits = op.mul(dLogits, op.scale_bias(op.sqr(bounded), -1, 1))
    if (head.needs) tape.addGradient(head, op.mul_mat(tape.transpose(part), tape.transpose(dLogits)))
    if (!hidden.needs) continue
    const whole = vocabulary <= 4 * SLICE
    if (whole)
      transposed ??= tape.transposeLarge(tape.dequantise(head.tensor, head.type, vocabulary), width, vocabulary)
    const dHidden = transposed !== undefined ? op.mul_mat(transposed, dLogits) : sliced(net, head, dLogits, count)
    gradient = gradient === undefined ? dHidden : op.concat(gradient, dHidden, 1)
  }
  if (gradient !== undefined) hidden.gradient = gradient
}

/** W^T dLogits, over slices of the vocabulary: [width, count]. */
function sliced(net: Network, head: Value, dLogits: Pointer, count: number): Pointer {
  const { tape } = net
  const { op } = tape
  const { vocabulary, width } = net.numbers
  const row = tape.rowBytes(head.type, width)
  let sum: Pointer | undefined
  for (let from = 0; from < vocabulary; from += SLICE) {
    const rows = Math.min(SLICE, vocabulary - from)
    const slice = tape.dequantise(op.view_2d(head.tensor, width, rows, row, from * row), head.type, rows)
    const share = op.cont(op.view_2d(dLogits, rows, count, vocabulary * 4, from * 4))
    const part = op.mul_mat(tape.transposeLarge(slice, width, rows), share)
    sum = sum === undefined ? part : op.add(sum, part)
  }
  return sum!
}
