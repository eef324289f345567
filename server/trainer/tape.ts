/** The tape: records forward operations of a ggml graph and emits their reverse-mode gradients into the same graph. */
import { HubError } from '../lib/error.ts'
import { type Backend, emitter, type Ggml } from '../native/ggml.ts'
import { GGML_TYPE, type Operations } from '../native/ggml_api.ts'
import { DEVICE_TYPE, type Pointer } from '../native/structs.ts'

/** ggml's order, the fastest dimension first. */
export type Shape = readonly [number, number, number, number]

/** A tensor with what the tape knows of it. */
export type Value = {
  tensor: Pointer
  shape: Shape
  type: number
  /** Something trained lies before it, or it is trained itself. */
  needs: boolean
  /** Gradient of the loss by this value, while the backward pass is emitted. */
  gradient?: Pointer | undefined
  /** A trained tensor adds its gradient here instead. */
  accumulator?: Pointer
  /** Its transpose, once somebody needed it. */
  transposed?: Pointer
}

const { F32, I32 } = GGML_TYPE
/** Ranks up to which OUT_PROD is the faster kernel on the CPU. */
const THIN = 64

export class Tape {
  readonly ggml: Ggml
  readonly backend: Backend
  /** Operations that go into the graph in the order of the calls. */
  readonly op: Operations
  readonly graph: Pointer
  readonly #context: Pointer
  readonly #inputContext: Pointer
  readonly #counts = new Map<number, Pointer>()
  readonly #onCpu: boolean
  #replaying = false
  /** Gradients of what ran so far, in forward order; undefined while nothing is recorded. */
  #steps: (() => void)[] | undefined

  /** Room for `nodes` operations is reserved: the library ends the process when there are more. */
  constructor(ggml: Ggml, backend: Backend, options: { nodes: number; inputs: number; train: boolean }) {
    this.ggml = ggml
    this.backend = backend
    this.#onCpu = backend.device.type === DEVICE_TYPE.cpu
    this.#context = ggml.context(options.nodes, options.nodes)
    this.#inputContext = ggml.context(options.inputs)
    this.graph = ggml.new_graph_custom(this.#context, options.nodes, false)
    this.op = emitter(ggml, this.#context, this.graph)
    this.#steps = options.train ? [] : undefined
  }

  /**
   * A tensor that the host writes before each run. It lies in the graph's own memory, which graphs of one allocator share and
   * which is used anew after the input's last reader: so it must be written before every run.
   */
  input(type: number, n0: number, n1 = 1): Pointer {
    const tensor = this.ggml.new_tensor_2d(this.#inputContext, type, n0, n1)
    this.ggml.set_input(tensor)
    // Also where nothing reads it, so that it has a place to be written to.
    this.ggml.build_forward_expand(this.graph, tensor)
    return tensor
  }

  /** The row numbers 0 to n - 1, I32; `fillCounts` writes them. */
  counting(n: number): Pointer {
    const known = this.#counts.get(n)
    if (known !== undefined) return known
    const tensor = this.input(I32, n)
    this.#counts.set(n, tensor)
    return tensor
  }

  /** Notes how y's gradient goes on to what y was made of. */
  record(y: Value, backward: (dy: Pointer) => void): Value {
    if (y.needs) {
      this.#steps?.push(() => {
        if (y.gradient === undefined) return
        backward(y.gradient)
        y.gradient = undefined
      })
    }
    return y
  }

  /** The same for an operation with several results: `backward` runs when all of their gradients are known. */
  recordMany(results: Value[], backward: (gradients: (Pointer | undefined)[]) => void): void {
    if (!results.some(y => y.needs)) return
    this.#steps?.push(() => {
      const gradients = results.map(y => y.gradient)
      if (gradients.every(gradient => gradient === undefined)) return
      backward(gradients)
      for (const y of results) y.gradient = undefined
    })
  }

  get recording(): boolean {
    return this.#steps !== undefined
  }

  /** A block is emitted again for its gradients: its result itself is not needed any more. */
  get replaying(): boolean {
    return this.#replaying
  }

  addGradient(x: Value, gradient: Pointer): void {
    if (!x.needs) return
    if (x.accumulator !== undefined) this.op.add_inplace(x.accumulator, gradient)
    else x.gradient = x.gradient === undefined ? gradient : this.op.add(x.gradient, gradient)
  }

  /** Emits the gradients of all that was recorded; afterwards nothing is recorded any more. */
  backward(): void {
    const steps = this.#steps ?? []
    this.#steps = undefined
    for (const step of steps.reverse()) step()
  }

  /** Runs `block` without keeping what lies inside; its operations are emitted again in the backward pass. */
  checkpoint(x: Value, block: (x: Value) => Value): Value {
    const outer = this.#steps
    if (outer === undefined) return block(x)
    this.#steps = undefined
    const y = block(x)
    this.#steps = outer
    return this.record(y, dy => {
      const again: Value = { tensor: x.tensor, shape: x.shape, type: x.type, needs: x.needs }
      this.#steps = []
      this.#replaying = true
      const z = block(again)
      this.#replaying = false
      z.gradient = dy
      this.backward()
      if (again.gradient !== undefined) this.addGradient(x, again.gradient)
    })
  }

  transpose(tensor: Pointer): Pointer {
    return this.op.cont(this.op.transpose(tensor))
  }

  /**
   * The same for a large matrix [n0, n1]. On the CPU, rows of a power of two lie in the same few sets of its caches, and
   * copying number by number takes three times as long as in two passes over blocks of 32 rows.
   */
  transposeLarge(tensor: Pointer, n0: number, n1: number): Pointer {
    const block = 32
    if (!this.#onCpu || n0 % 512 !== 0 || n1 % block !== 0) return this.transpose(tensor)
    const { op } = this
    const blocks = op.reshape_3d(tensor, n0, block, n1 / block)
    const turned = op.cont(op.permute(blocks, 1, 0, 2, 3)) // [block, n0, n1 / block]
    return op.reshape_2d(op.cont(op.permute(turned, 0, 2, 1, 3)), n1, n0)
  }

  /** A view whose matrices lie apart, to be multiplied by: the Vulkan backend takes them for adjacent, so only the CPU gets the view itself. */
  operand(view: Pointer): Pointer {
    return this.#onCpu ? view : this.op.cont(view)
  }

  /**
   * W x of a small matrix W [k, m] and x [k, n]. With few k the CPU's product spends its time on single sums, and OUT_PROD, which
   * runs along the rows of the result, is twice as fast; its operands are the transposes, of which x is the larger.
   */
  thinProduct(W: Pointer, x: Pointer, k: number): Pointer {
    if (!this.#onCpu || k > THIN) return this.op.mul_mat(W, x)
    return this.op.out_prod(this.transpose(W), this.transpose(x))
  }

  /** The same, where W^T [m, k] is what there is. */
  thinProductOfTransposed(WT: Pointer, x: Pointer, k: number): Pointer {
    if (!this.#onCpu || k > THIN) return this.op.mul_mat(this.transpose(WT), x)
    return this.op.out_prod(WT, this.transpose(x))
  }

  transposeOf(x: Value): Pointer {
    x.transposed ??= this.transpose(x.tensor)
    return x.transposed
  }

  /** The tensor as F32, whatever its type: by a copy where the backend has one for the type, else by picking all its rows, which every backend can. */
  dequantise(tensor: Pointer, type: number, rows: number): Pointer {
    if (type === F32) return tensor
    const copy = this.ggml.operations.cast(this.#context, tensor, F32)
    if (this.ggml.backend_supports_op(this.backend.pointer, copy)) {
      this.ggml.build_forward_expand(this.graph, copy)
      return copy
    }
    return this.op.get_rows(tensor, this.counting(rows))
  }

  /** Bytes of a row of `elements`. */
  rowBytes(type: number, elements: number): number {
    return Number(this.ggml.row_size(type, elements))
  }

  fillCounts(): void {
    for (const [n, tensor] of this.#counts)
      this.ggml.set(
        tensor,
        Int32Array.from({ length: n }, (_, i) => i),
      )
  }

  /** @throws HubError invalid_request naming the operations that the backend would leave to the CPU */
  checkOperations(): void {
    const lacking = new Set<string>()
    for (let i = 0; i < this.ggml.graph_n_nodes(this.graph); i++) {
      const node = this.ggml.graph_node(this.graph, i)
      if (!this.ggml.backend_supports_op(this.backend.pointer, node)) lacking.add(this.ggml.op_desc(node))
    }
    if (lacking.size > 0) {
      const names = [...lacking].join(', ')
      throw new HubError(
        'invalid_request',
        `${this.backend.device.name} cannot train this model: it lacks ${names}; train on another device`,
      )
    }
  }

  free(): void {
    this.ggml.free(this.#inputContext)
    this.ggml.free(this.#context)
  }
}
