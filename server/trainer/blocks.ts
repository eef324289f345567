/** The decoder block of every family and its parts, each with its gradient. */
import type { Pointer } from '../native/structs.ts'
import { attention } from './attention.ts'
import { ropeParameters } from './families/family.ts'
import { type Network, need } from './network.ts'
import type { Shape, Value } from './tape.ts'

/** One decoder layer: x [width, T] -> [width, T]. */
export function decoderLayer(net: Network, x: Value, layer: number): Value {
  const { family, numbers, length } = net
  const { heads, kvHeads, headSize, feedForward } = numbers
  const name = (part: string) => `blk.${layer}.${part}`
  const window = family.window?.(numbers, layer) ?? 0

  const input = rmsNorm(net, x, name('attn_norm'))
  const [q, k, v] = net.tensor(name('attn_qkv.weight'))
    ? split(net, linear(net, input, name('attn_qkv')), [heads * headSize, kvHeads * headSize, kvHeads * headSize])
    : ['attn_q', 'attn_k', 'attn_v'].map(part => linear(net, input, name(part)))
  const head = (y: Value, count: number, norm: string): Value => {
    const shaped = reshape(net, y, [headSize, count, length, 1])
    return rope(net, family.qkNorm ? rmsNorm(net, shaped, name(norm)) : shaped, window > 0)
  }
  const mixed = attention(
    net,
    head(q!, heads, 'attn_q_norm'),
    head(k!, kvHeads, 'attn_k_norm'),
    reshape(net, v!, [headSize, kvHeads, length, 1]),
    {
      scale: family.attentionScale?.(numbers) ?? 1 / Math.sqrt(headSize),
      cap: family.attentionCap?.(numbers) ?? 0,
      window,
    },
  )
  let attended = linear(net, mixed, name('attn_output'))
  if (family.postNorms) attended = rmsNorm(net, attended, name('post_attention_norm'))
  const middle = add(net, x, attended)

  const normed = rmsNorm(net, middle, name('ffn_norm'))
  const up = linear(net, normed, name('ffn_up'))
  const [gate, value] = net.tensor(name('ffn_gate.weight'))
    ? [linear(net, normed, name('ffn_gate')), up]
    : split(net, up, [feedForward, feedForward])
  const activated = family.activation === 'gelu' ? geglu(net, gate!, value!) : swiglu(net, gate!, value!)
  // When the layer is emitted again, nobody reads its result, and a product saved is a twelfth of the step.
  const unread = net.tape.replaying
  if (!family.postNorms) return add(net, middle, linear(net, activated, name('ffn_down'), unread), unread)
  return add(net, middle, rmsNorm(net, linear(net, activated, name('ffn_down')), name('post_ffw_norm')), unread)
}

/** y = W x + bias + scale B (A x); x [in, n] -> [out, n]. With `unread` only what the gradients need is computed, and y holds another tensor. */
export function linear(net: Network, x: Value, name: string, unread = false): Value {
  const { tape, adapter } = net
  const { op } = tape
  const weight = need(net, `${name}.weight`)
  const bias = net.tensor(`${name}.bias`)
  const pair = adapter?.pair(`${name}.weight`)
  const [width, n] = x.shape
  const [, out] = weight.shape
  const mask = pair && adapter?.dropout?.(width, name)
  const kept: Value = pair && mask !== undefined ? { ...plain(x), tensor: op.mul(x.tensor, mask) } : x
  const hidden = pair && adapter && op.scale(op.mul_mat(pair.a.tensor, kept.tensor), adapter.scale) // [rank, n]
  let tensor = x.tensor
  if (!unread) {
    tensor = op.mul_mat(weight.tensor, x.tensor)
    if (pair && hidden !== undefined) tensor = op.add(tensor, tape.thinProduct(pair.b.tensor, hidden, pair.b.shape[0]))
    if (bias) tensor = op.add(tensor, bias.tensor)
  }
  const y: Value = {
    tensor,
    shape: [out, n, 1, 1],
    type: x.type,
    needs: x.needs || weight.needs || bias?.needs === true || pair !== undefined,
  }
  return tape.record(y, dy => {
    if (pair && adapter && hidden !== undefined) {
      // The long dimension first: so the outer product runs along it.
      tape.addGradient(pair.b, tape.transpose(op.out_prod(dy, hidden))) // [rank, out]
      const dHidden = op.scale(op.mul_mat(tape.transpose(pair.b.tensor), dy), adapter.scale) // [rank, n]
      tape.addGradient(pair.a, op.out_prod(kept.tensor, dHidden)) // [in, rank]
      if (x.needs) {
        const dx = tape.thinProductOfTransposed(pair.a.tensor, dHidden, pair.b.shape[0]) // [in, n]
        tape.addGradient(x, mask === undefined ? dx : op.mul(dx, mask))
      }
    }
    const columns = weight.needs || bias?.needs ? tape.transposeLarge(dy, out, n) : undefined // [n, out]
    if (weight.needs && columns !== undefined) tape.addGradient(weight, op.mul_mat(tape.transposeOf(x), columns))
    if (bias?.needs && columns !== undefined) tape.addGradient(bias, op.reshape_2d(op.sum_rows(columns), out, 1))
    if (x.needs) {
      const wide = tape.dequantise(weight.tensor, weight.type, out) // [in, out]
      tape.addGradient(x, op.mul_mat(tape.transposeLarge(wide, width, out), dy))
    }
  })
}

/** x / rms(x) x weight over the first dimension (Zhang and Sennrich 2019). */
export function rmsNorm(net: Network, x: Value, name: string): Value {
  const { tape, numbers } = net
  const { op } = tape
  const weight = need(net, `${name}.weight`)
  const y: Value = {
    tensor: op.mul(op.rms_norm(x.tensor, numbers.epsilon), weight.tensor),
    shape: x.shape,
    type: x.type,
    needs: x.needs || weight.needs,
  }
  return tape.record(y, dy => {
    if (weight.needs) {
      const [size, n1, n2] = x.shape
      const product = op.reshape_2d(op.mul(dy, op.rms_norm(x.tensor, numbers.epsilon)), size, n1 * n2)
      tape.addGradient(weight, op.reshape_2d(op.sum_rows(tape.transpose(product)), size, 1))
    }
    if (x.needs) tape.addGradient(x, op.rms_norm_back(op.mul(dy, weight.tensor), x.tensor, numbers.epsilon))
  })
}

export function add(net: Network, a: Value, b: Value, unread = false): Value {
  const tensor = unread ? a.tensor : net.tape.op.add(a.tensor, b.tensor)
  const y: Value = { ...plain(a), tensor, needs: a.needs || b.needs }
  return net.tape.record(y, dy => {
    net.tape.addGradient(a, dy)
    net.tape.addGradient(b, dy)
  })
}

export function scale(net: Network, x: Value, factor: number): Value {
  if (factor === 1) return x
  const y: Value = { ...plain(x), tensor: net.tape.op.scale(x.tensor, factor) }
  return net.tape.record(y, dy => net.tape.addGradient(x, net.tape.op.scale(dy, factor)))
}

function reshape(net: Network, x: Value, shape: Shape): Value {
  const { op } = net.tape
  const y: Value = { ...plain(x), tensor: op.reshape_4d(x.tensor, ...shape), shape }
  return net.tape.record(y, dy => net.tape.addGradient(x, op.reshape_4d(dy, ...x.shape)))
}

/** Parts of the first dimension, each contiguous: x [a + b, n] -> [a, n], [b, n]. */
function split(net: Network, x: Value, sizes: number[]): Value[] {
  const { tape } = net
  const { op } = tape
  const [width, n] = x.shape
  let from = 0
  const parts = sizes.map((size): Value => {
    const tensor = op.cont(op.view_2d(x.tensor, size, n, width * 4, from * 4))
    from += size
    return { ...plain(x), tensor, shape: [size, n, 1, 1] }
  })
  tape.recordMany(parts, gradients => {
    const whole = gradients.map((gradient, i) => gradient ?? op.scale(parts[i]!.tensor, 0))
    tape.addGradient(
      x,
      whole.reduce((left, right) => op.concat(left, right, 0)),
    )
  })
  return parts
}

/** Rotary embedding (Su et al. 2021), with the family's factors; x [size, heads, T]. */
function rope(net: Network, x: Value, windowed: boolean): Value {
  const { tape, positions, ropeFactors } = net
  const parameters = ropeParameters(net.family, net.numbers, windowed)
  const y: Value = { ...plain(x), tensor: tape.op.rope_ext(x.tensor, positions, ropeFactors, ...parameters) }
  return tape.record(y, dy => tape.addGradient(x, tape.op.rope_ext_back(dy, positions, ropeFactors, ...parameters)))
}

/** silu(gate) x up */
function swiglu(net: Network, gate: Value, up: Value): Value {
  const { tape } = net
  const { op } = tape
  const y: Value = { ...plain(gate), tensor: op.swiglu_split(gate.tensor, up.tensor), needs: gate.needs || up.needs }
  return tape.record(y, dy => {
    if (gate.needs) tape.addGradient(gate, op.silu_back(op.mul(dy, up.tensor), gate.tensor))
    if (up.needs) tape.addGradient(up, op.mul(dy, op.silu(gate.tensor)))
  })
}

const GELU_CUBIC = 0.044715
const GELU_SLOPE = Math.sqrt(2 / Math.PI)

/** gelu(gate) x up with GELU's tanh form (Hendrycks and Gimpel 2016); its gradient is made of operations that every backend has. */
function geglu(net: Network, gate: Value, up: Value): Value {
  const { tape } = net
  const { op } = tape
  const x = gate.tensor
  // t = tanh(slope (x + cubic x^3)), gelu = x (1 + t) / 2
  const bend = () => op.tanh(op.scale(op.mul(x, op.scale_bias(op.sqr(x), GELU_CUBIC, 1)), GELU_SLOPE))
  const gelu = (t: Pointer) => op.mul(x, op.scale_bias(t, 0.5, 0.5))
  const tensor = net.smooth ? op.mul(gelu(bend()), up.tensor) : op.geglu_split(x, up.tensor)
  const y: Value = { ...plain(gate), tensor, needs: gate.needs || up.needs }
  return tape.record(y, dy => {
    const t = bend()
    if (up.needs) tape.addGradient(up, op.mul(dy, gelu(t)))
    if (!gate.needs) return
    // gelu' = (1 + t) / 2 + x (1 - t^2) slope (1 + 3 cubic x^2) / 2
    const inner = op.scale_bias(op.sqr(x), 1.5 * GELU_SLOPE * GELU_CUBIC, GELU_SLOPE / 2)
    const curved = op.mul(op.mul(x, op.scale_bias(op.sqr(t), -1, 1)), inner)
    const slope = op.add(curved, op.scale_bias(t, 0.5, 0.5))
    tape.addGradient(gate, op.mul(op.mul(dy, up.tensor), slope))
  })
}

/** Shape, type and need of a value, without what belongs to its own tensor. */
const plain = (x: Value) => ({ shape: x.shape, type: x.type, needs: x.needs })
