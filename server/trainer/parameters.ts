/** Trained tensors on the device: values, gradient accumulators and AdamW's two moments, all F32. */
import { HubError } from '../lib/error.ts'
import type { Backend, Ggml } from '../native/ggml.ts'
import { GGML_TYPE } from '../native/ggml_api.ts'
import type { Pointer } from '../native/structs.ts'
import type { Value } from './tape.ts'
import type { Trainable } from './types.ts'

/** What the learning rate and the decay of a tensor are taken from: LoRA's A and B, other matrices, and vectors (no decay). */
export type Kind = 'a' | 'b' | 'matrix' | 'vector'
export type Parameter = {
  name: string
  kind: Kind
  value: Value
  gradient: Pointer
  m: Pointer
  v: Pointer
  elements: number
}

export class Parameters implements Trainable {
  readonly all: Parameter[]
  stepCount = 0
  readonly #ggml: Ggml
  readonly #byName = new Map<string, Parameter>()
  readonly #contexts: Pointer[]
  readonly #buffers: Pointer[] = []
  readonly #gradients: Pointer

  /** All zero at first. @throws HubError insufficient_memory */
  constructor(ggml: Ggml, backend: Backend, tensors: { name: string; kind: Kind; shape: [number, number] }[]) {
    this.#ggml = ggml
    const values = ggml.context(tensors.length)
    const gradients = ggml.context(tensors.length)
    const moments = ggml.context(2 * tensors.length)
    this.#contexts = [values, gradients, moments]
    this.all = tensors.map(({ name, kind, shape: [n0, n1] }) => {
      const make = (context: Pointer) => ggml.new_tensor_2d(context, GGML_TYPE.F32, n0, n1)
      const tensor = make(values)
      const gradient = make(gradients)
      ggml.set_name(tensor, name)
      // The optimizer step wants the mark.
      ggml.set_param(tensor)
      const value: Value = { tensor, shape: [n0, n1, 1, 1], type: GGML_TYPE.F32, needs: true, accumulator: gradient }
      return { name, kind, value, gradient, m: make(moments), v: make(moments), elements: n0 * n1 }
    })
    for (const parameter of this.all) this.#byName.set(parameter.name, parameter)
    for (const context of this.#contexts) {
      const buffer = ggml.backend_alloc_ctx_tensors(context, backend.pointer)
      if (buffer === null) {
        this.free()
        throw new HubError(
          'insufficient_memory',
          `${backend.device.name} has no memory for ${this.count} trained numbers; take a smaller rank or fewer targets`,
        )
      }
      ggml.backend_buffer_clear(buffer, 0)
      this.#buffers.push(buffer)
    }
    this.#gradients = this.#buffers[1]!
  }

  get names(): string[] {
    return this.all.map(parameter => parameter.name)
  }

  get count(): number {
    return this.all.reduce((sum, parameter) => sum + parameter.elements, 0)
  }

  get bytes(): number {
    return this.#buffers.reduce((sum, buffer) => sum + Number(this.#ggml.backend_buffer_get_size(buffer)), 0)
  }

  value(name: string): Value | undefined {
    return this.#byName.get(name)?.value
  }

  get(name: string): Float32Array {
    return this.#read(name, parameter => parameter.value.tensor)
  }

  set(name: string, values: Float32Array): void {
    this.#write(name, values, parameter => parameter.value.tensor)
  }

  gradient(name: string): Float32Array {
    return this.#read(name, parameter => parameter.gradient)
  }

  moments(name: string): { m: Float32Array; v: Float32Array } {
    return { m: this.#read(name, parameter => parameter.m), v: this.#read(name, parameter => parameter.v) }
  }

  setMoments(name: string, m: Float32Array, v: Float32Array): void {
    this.#write(name, m, parameter => parameter.m)
    this.#write(name, v, parameter => parameter.v)
  }

  shape(name: string): [number, number] {
    const [n0, n1] = this.#find(name).value.shape
    return [n0, n1]
  }

  clearGradients(): void {
    this.#ggml.backend_buffer_clear(this.#gradients, 0)
  }

  free(): void {
    for (const buffer of this.#buffers) this.#ggml.backend_buffer_free(buffer)
    for (const context of this.#contexts) this.#ggml.free(context)
  }

  #find(name: string): Parameter {
    const parameter = this.#byName.get(name)
    if (parameter === undefined) throw new HubError('invalid_request', `no trained tensor is called ${name}`)
    return parameter
  }

  #read(name: string, which: (parameter: Parameter) => Pointer): Float32Array {
    const parameter = this.#find(name)
    return this.#ggml.get(which(parameter), new Float32Array(parameter.elements))
  }

  #write(name: string, values: Float32Array, which: (parameter: Parameter) => Pointer): void {
    const parameter = this.#find(name)
    if (values.length !== parameter.elements) {
      throw new HubError('invalid_request', `${name} has ${parameter.elements} numbers, not ${values.length}`)
    }
    this.#ggml.set(which(parameter), values)
  }
}
