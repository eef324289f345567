/** The functions of libggml-base and libggml that the trainer calls: their C prototypes and what they are in TypeScript. */
import type { Pointer } from './structs.ts'

/** enum ggml_type of the release; the types that a base model may hold, and those of inputs. */
export const GGML_TYPE = {
  F32: 0,
  F16: 1,
  Q4_0: 2,
  Q4_1: 3,
  Q5_0: 6,
  Q5_1: 7,
  Q8_0: 8,
  Q2_K: 10,
  Q3_K: 11,
  Q4_K: 12,
  Q5_K: 13,
  Q6_K: 14,
  I32: 26,
  I64: 27,
  BF16: 30,
} as const

/** Graph operations: each takes the context and gives a new tensor; bound without `ggml_`. */
export const OPERATION_PROTOTYPES = `
void* ggml_mul_mat(void*, void*, void*);
void* ggml_out_prod(void*, void*, void*);
void* ggml_add(void*, void*, void*);
void* ggml_add_inplace(void*, void*, void*);
void* ggml_mul(void*, void*, void*);
void* ggml_scale(void*, void*, float);
void* ggml_scale_bias(void*, void*, float, float);
void* ggml_sqr(void*, void*);
void* ggml_sum(void*, void*);
void* ggml_sum_rows(void*, void*);
void* ggml_log(void*, void*);
void* ggml_clamp(void*, void*, float, float);
void* ggml_tanh(void*, void*);
void* ggml_silu(void*, void*);
void* ggml_silu_back(void*, void*, void*);
void* ggml_swiglu_split(void*, void*, void*);
void* ggml_geglu_split(void*, void*, void*);
void* ggml_rms_norm(void*, void*, float);
void* ggml_rms_norm_back(void*, void*, void*, float);
void* ggml_soft_max(void*, void*);
void* ggml_soft_max_ext(void*, void*, void*, float, float);
void* ggml_soft_max_ext_back(void*, void*, void*, float, float);
void* ggml_rope_ext(void*, void*, void*, void*, int, int, int, float, float, float, float, float, float);
void* ggml_rope_ext_back(void*, void*, void*, void*, int, int, int, float, float, float, float, float, float);
void* ggml_cross_entropy_loss(void*, void*, void*);
void* ggml_opt_step_adamw(void*, void*, void*, void*, void*, void*);
void* ggml_get_rows(void*, void*, void*);
void* ggml_get_rows_back(void*, void*, void*, void*);
void* ggml_set_rows(void*, void*, void*, void*);
void* ggml_cont(void*, void*);
void* ggml_cast(void*, void*, int);
void* ggml_transpose(void*, void*);
void* ggml_permute(void*, void*, int, int, int, int);
void* ggml_concat(void*, void*, void*, int);
void* ggml_acc_inplace(void*, void*, void*, size_t, size_t, size_t, size_t);
void* ggml_reshape_2d(void*, void*, int64_t, int64_t);
void* ggml_reshape_3d(void*, void*, int64_t, int64_t, int64_t);
void* ggml_reshape_4d(void*, void*, int64_t, int64_t, int64_t, int64_t);
void* ggml_view_1d(void*, void*, int64_t, size_t);
void* ggml_view_2d(void*, void*, int64_t, int64_t, size_t, size_t);
void* ggml_view_3d(void*, void*, int64_t, int64_t, int64_t, size_t, size_t, size_t)`

type P = Pointer
/** ggml's rope parameters in its order: rotated dimensions, mode, original context, base, scale, extension factor, attention factor, fast and slow beta. */
export type RopeParameters = [
  dimensions: number,
  mode: number,
  originalContext: number,
  base: number,
  scale: number,
  extension: number,
  attention: number,
  betaFast: number,
  betaSlow: number,
]

/** Shapes are in ggml's order, the fastest dimension first; strides and offsets are in bytes. */
export type Operations = {
  /** a [k, m], b [k, n] -> [m, n]; higher dimensions of a are broadcast over those of b. */
  mul_mat(a: P, b: P): P
  /** a [m, k], b [n, k] -> [m, n] */
  out_prod(a: P, b: P): P
  add(a: P, b: P): P
  add_inplace(a: P, b: P): P
  mul(a: P, b: P): P
  scale(a: P, factor: number): P
  /** factor x a + bias */
  scale_bias(a: P, factor: number, bias: number): P
  sqr(a: P): P
  /** [1] */
  sum(a: P): P
  /** [n, m] -> [1, m] */
  sum_rows(a: P): P
  log(a: P): P
  clamp(a: P, min: number, max: number): P
  tanh(a: P): P
  silu(a: P): P
  silu_back(dy: P, x: P): P
  /** silu(gate) x up */
  swiglu_split(gate: P, up: P): P
  /** gelu(gate) x up */
  geglu_split(gate: P, up: P): P
  rms_norm(x: P, epsilon: number): P
  rms_norm_back(dy: P, x: P, epsilon: number): P
  soft_max(x: P): P
  soft_max_ext(x: P, mask: P | null, scale: number, maxBias: number): P
  soft_max_ext_back(dy: P, y: P, scale: number, maxBias: number): P
  rope_ext(x: P, positions: P, factors: P | null, ...parameters: RopeParameters): P
  rope_ext_back(dy: P, positions: P, factors: P | null, ...parameters: RopeParameters): P
  cross_entropy_loss(logits: P, labels: P): P
  opt_step_adamw(parameter: P, gradient: P, m: P, v: P, settings: P): P
  get_rows(table: P, rows: P): P
  get_rows_back(dy: P, rows: P, table: P): P
  /** Writes the rows b into a, in place. */
  set_rows(a: P, b: P, rows: P): P
  cont(a: P): P
  cast(a: P, type: number): P
  transpose(a: P): P
  permute(a: P, d0: number, d1: number, d2: number, d3: number): P
  concat(a: P, b: P, dimension: number): P
  /** Adds b to the view of a that the strides and the offset describe, in place. */
  acc_inplace(a: P, b: P, stride1: number, stride2: number, stride3: number, offset: number): P
  reshape_2d(a: P, n0: number, n1: number): P
  reshape_3d(a: P, n0: number, n1: number, n2: number): P
  reshape_4d(a: P, n0: number, n1: number, n2: number, n3: number): P
  view_1d(a: P, n0: number, offset: number): P
  view_2d(a: P, n0: number, n1: number, stride1: number, offset: number): P
  view_3d(a: P, n0: number, n1: number, n2: number, stride1: number, stride2: number, offset: number): P
}

/** The same operations as the library has them: with the context in front. */
export type BoundOperations = {
  [K in keyof Operations]: (context: P, ...args: Parameters<Operations[K]>) => P
}

export const BASE_PROTOTYPES = `
const char* ggml_version();
const char* ggml_type_name(int);
size_t ggml_row_size(int, int64_t);
size_t ggml_quantize_chunk(int, const void*, void*, int64_t, int64_t, int64_t, const void*);
size_t ggml_tensor_overhead();
size_t ggml_graph_overhead_custom(size_t, bool);
void ggml_free(void*);
size_t ggml_nbytes(void*);
void* ggml_set_name(void*, const char*);
void* ggml_new_tensor_1d(void*, int, int64_t);
void* ggml_new_tensor_2d(void*, int, int64_t, int64_t);
void* ggml_new_tensor_4d(void*, int, int64_t, int64_t, int64_t, int64_t);
void ggml_set_input(void*);
void ggml_set_output(void*);
void ggml_set_param(void*);
void ggml_set_loss(void*);
void* ggml_new_graph_custom(void*, size_t, bool);
void ggml_build_forward_expand(void*, void*);
void ggml_build_backward_expand(void*, void*, void*);
int ggml_graph_n_nodes(void*);
void* ggml_graph_node(void*, int);
void* ggml_graph_get_grad(void*, void*);
void ggml_graph_reset(void*);
const char* ggml_op_desc(void*);
void* ggml_gallocr_new(void*);
void ggml_gallocr_free(void*);
bool ggml_gallocr_alloc_graph(void*, void*);
size_t ggml_gallocr_get_buffer_size(void*, int);
void ggml_gallocr_reserve_n_size(void*, void*, void*, void*, size_t*);
void* ggml_backend_get_default_buffer_type(void*);
void* ggml_backend_alloc_ctx_tensors(void*, void*);
size_t ggml_backend_alloc_ctx_tensors_from_buft_size(void*, void*);
void* ggml_backend_cpu_buffer_from_ptr(void*, size_t);
int ggml_backend_tensor_alloc(void*, void*, void*);
void* ggml_get_first_tensor(void*);
void* ggml_get_next_tensor(void*, void*);
void ggml_backend_buffer_free(void*);
void ggml_backend_buffer_clear(void*, uint8_t);
size_t ggml_backend_buffer_get_size(void*);
void ggml_backend_buffer_set_usage(void*, int);
void ggml_backend_tensor_set(void*, const void*, size_t, size_t);
void ggml_backend_tensor_get(void*, void*, size_t, size_t);
int ggml_backend_graph_compute(void*, void*);
void ggml_backend_free(void*);
bool ggml_backend_supports_op(void*, void*);
const char* ggml_backend_dev_name(void*);
const char* ggml_backend_dev_description(void*);
int ggml_backend_dev_type(void*);
void* ggml_backend_dev_init(void*, const char*);
void* ggml_backend_dev_backend_reg(void*);
void* ggml_backend_reg_get_proc_address(void*, const char*)`

type Int = number | bigint
type Bytes = ArrayBufferView | null
type Quantize = [
  type: number,
  source: Float32Array,
  target: Uint8Array,
  start: number,
  rows: number,
  rowLength: number,
  importance: Bytes,
]
/** As bound from BASE_PROTOTYPES, without `ggml_`. */
export type BaseFunctions = {
  version(): string
  type_name(type: number): string | null
  row_size(type: number, elements: number): Int
  /** Bytes written to `target`. */
  quantize_chunk: ((...args: Quantize) => Int) & {
    async(...args: [...Quantize, done: (error: Error | null, bytes: Int) => void]): void
  }
  tensor_overhead(): Int
  graph_overhead_custom(nodes: number, gradients: boolean): Int
  free(context: P): void
  nbytes(tensor: P): Int
  set_name(tensor: P, name: string): P
  new_tensor_1d(context: P, type: number, n0: number): P
  new_tensor_2d(context: P, type: number, n0: number, n1: number): P
  new_tensor_4d(context: P, type: number, n0: number, n1: number, n2: number, n3: number): P
  set_input(tensor: P): void
  set_output(tensor: P): void
  set_param(tensor: P): void
  set_loss(tensor: P): void
  new_graph_custom(context: P, nodes: number, gradients: boolean): P
  build_forward_expand(graph: P, tensor: P): void
  build_backward_expand(context: P, graph: P, gradients: P | null): void
  graph_n_nodes(graph: P): number
  graph_node(graph: P, index: number): P
  graph_get_grad(graph: P, tensor: P): P | null
  graph_reset(graph: P): void
  op_desc(tensor: P): string
  gallocr_new(bufferType: P): P
  gallocr_free(allocator: P): void
  gallocr_alloc_graph(allocator: P, graph: P): boolean
  gallocr_get_buffer_size(allocator: P, buffer: number): Int
  /** Plans the graph without allocating; `sizes` receives the bytes of each buffer. */
  gallocr_reserve_n_size(allocator: P, graph: P, nodeBuffers: null, leafBuffers: null, sizes: BigUint64Array): void
  backend_get_default_buffer_type(backend: P): P
  /** null: out of memory */
  backend_alloc_ctx_tensors(context: P, backend: P): P | null
  /** Bytes that `backend_alloc_ctx_tensors` would take. */
  backend_alloc_ctx_tensors_from_buft_size(context: P, bufferType: P): Int
  /** A buffer at an address of the caller's; nothing is read or written there before a graph is computed. */
  backend_cpu_buffer_from_ptr(address: Int, bytes: Int): P
  backend_tensor_alloc(buffer: P, tensor: P, address: Int): number
  get_first_tensor(context: P): P | null
  get_next_tensor(context: P, tensor: P): P | null
  backend_buffer_free(buffer: P): void
  backend_buffer_clear(buffer: P, value: number): void
  backend_buffer_get_size(buffer: P): Int
  backend_buffer_set_usage(buffer: P, usage: number): void
  backend_tensor_set(tensor: P, data: ArrayBufferView, offset: number, bytes: number): void
  backend_tensor_get(tensor: P, data: ArrayBufferView, offset: number, bytes: number): void
  backend_graph_compute: ((backend: P, graph: P) => number) & {
    async(backend: P, graph: P, done: (error: Error | null, status: number) => void): void
  }
  backend_free(backend: P): void
  backend_supports_op(backend: P, tensor: P): boolean
  backend_dev_name(device: P): string
  backend_dev_description(device: P): string
  /** DEVICE_TYPE of structs.ts */
  backend_dev_type(device: P): number
  backend_dev_init(device: P, parameters: string | null): P | null
  backend_dev_backend_reg(device: P): P
  backend_reg_get_proc_address(registry: P, name: string): P | null
}
