/** The functions of libllama and libggml that the programs call: their C prototypes and what they are in TypeScript. */
import type { ContextParams, ModelParams, Pointer, RawBatch } from './structs.ts'

/** Prototypes by library. A pointer is an opaque `void *`; every name is bound without its `llama_` or `ggml_` prefix. */
export const LLAMA_PROTOTYPES = `
const char* llama_version();
void llama_backend_init();
void llama_log_set(void* callback, void* data);
llama_model_params llama_model_default_params();
llama_context_params llama_context_default_params();
void* llama_model_load_from_file(const char* path, llama_model_params params);
void llama_model_free(void* model);
void* llama_init_from_model(void* model, llama_context_params params);
void llama_free(void* context);
void* llama_model_get_vocab(void* model);
int32_t llama_model_n_embd_out(void* model);
int32_t llama_model_n_layer(void* model);
int32_t llama_model_n_ctx_train(void* model);
bool llama_model_has_decoder(void* model);
bool llama_model_is_recurrent(void* model);
bool llama_model_is_hybrid(void* model);
int32_t llama_model_meta_val_str(void* model, const char* key, void* buffer, size_t size);
const char* llama_model_chat_template(void* model, const char* name);
uint32_t llama_n_ctx_seq(void* context);
int32_t llama_pooling_type(void* context);
void* llama_get_memory(void* context);
void llama_attach_threadpool(void* context, void* threadpool, void* threadpool_batch);
void llama_memory_clear(void* memory, bool data);
bool llama_memory_seq_rm(void* memory, int32_t seq, int32_t from, int32_t to);
void llama_memory_seq_cp(void* memory, int32_t source, int32_t target, int32_t from, int32_t to);
llama_batch llama_batch_init(int32_t tokens, int32_t embd, int32_t seq_max);
void llama_batch_free(llama_batch batch);
int32_t llama_decode(void* context, llama_batch batch);
void* llama_get_logits_ith(void* context, int32_t index);
void* llama_get_embeddings_seq(void* context, int32_t seq);
int32_t llama_vocab_n_tokens(void* vocab);
bool llama_vocab_is_eog(void* vocab, int32_t token);
bool llama_vocab_is_control(void* vocab, int32_t token);
int32_t llama_vocab_bos(void* vocab);
int32_t llama_vocab_eos(void* vocab);
int32_t llama_vocab_fim_pre(void* vocab);
int32_t llama_vocab_fim_suf(void* vocab);
int32_t llama_vocab_fim_mid(void* vocab);
int32_t llama_vocab_fim_rep(void* vocab);
int32_t llama_vocab_fim_sep(void* vocab);
bool llama_vocab_get_add_bos(void* vocab);
int32_t llama_tokenize(void* vocab, const void* text, int32_t length, void* tokens, int32_t max, bool add_special, bool parse_special);
int32_t llama_token_to_piece(void* vocab, int32_t token, void* buffer, int32_t length, int32_t lstrip, bool special);
int32_t llama_detokenize(void* vocab, const void* tokens, int32_t count, void* text, int32_t max, bool remove_special, bool unparse_special);
void* llama_sampler_chain_init(llama_sampler_chain_params params);
void llama_sampler_chain_add(void* chain, void* sampler);
void llama_sampler_free(void* sampler);
int32_t llama_sampler_sample(void* sampler, void* context, int32_t index);
void llama_sampler_accept(void* sampler, int32_t token);
void llama_sampler_apply(void* sampler, void* candidates);
void* llama_sampler_init_greedy();
void* llama_sampler_init_dist(uint32_t seed);
void* llama_sampler_init_top_k(int32_t k);
void* llama_sampler_init_top_p(float p, size_t min_keep);
void* llama_sampler_init_min_p(float p, size_t min_keep);
void* llama_sampler_init_typical(float p, size_t min_keep);
void* llama_sampler_init_top_n_sigma(float n);
void* llama_sampler_init_xtc(float p, float t, size_t min_keep, uint32_t seed);
void* llama_sampler_init_temp(float t);
void* llama_sampler_init_dry(void* vocab, float multiplier, float base, int32_t allowed_length, int32_t last_n, const char** breakers, size_t count);
void* llama_sampler_init_infill(void* vocab);
void* llama_sampler_init_grammar(void* vocab, const char* grammar, const char* root);
void* llama_sampler_init_grammar_lazy_patterns(void* vocab, const char* grammar, const char* root, const char** patterns, size_t count, const void* tokens, size_t token_count);
void* llama_adapter_lora_init(void* model, const char* path);
void llama_adapter_lora_free(void* adapter);
int32_t llama_set_adapters_lora(void* context, void** adapters, size_t count, float* scales);
size_t llama_state_seq_get_size(void* context, int32_t seq);
size_t llama_state_seq_get_data(void* context, void* target, size_t size, int32_t seq);
size_t llama_state_seq_set_data(void* context, const void* source, size_t size, int32_t seq)`

type Async<A extends unknown[], R> = ((...args: A) => R) & {
  async: (...args: [...A, (error: Error | null, result: R) => void]) => void
}
type Bytes = Uint8Array | Int32Array

export type LlamaFunctions = {
  version(): string
  backend_init(): void
  log_set(callback: Pointer | null, data: Pointer | null): void
  model_default_params(): ModelParams
  context_default_params(): ContextParams
  model_load_from_file: Async<[path: string, params: ModelParams], Pointer | null>
  model_free(model: Pointer): void
  init_from_model: Async<[model: Pointer, params: ContextParams], Pointer | null>
  free(context: Pointer): void
  model_get_vocab(model: Pointer): Pointer
  model_n_embd_out(model: Pointer): number
  model_n_layer(model: Pointer): number
  model_n_ctx_train(model: Pointer): number
  model_has_decoder(model: Pointer): boolean
  model_is_recurrent(model: Pointer): boolean
  model_is_hybrid(model: Pointer): boolean
  model_meta_val_str(model: Pointer, key: string, buffer: Uint8Array, size: number): number
  model_chat_template(model: Pointer, name: string | null): string | null
  n_ctx_seq(context: Pointer): number
  pooling_type(context: Pointer): number
  get_memory(context: Pointer): Pointer | null
  attach_threadpool(context: Pointer, pool: Pointer, batchPool: Pointer): void
  memory_clear(memory: Pointer, data: boolean): void
  memory_seq_rm(memory: Pointer, seq: number, from: number, to: number): boolean
  memory_seq_cp(memory: Pointer, source: number, target: number, from: number, to: number): void
  batch_init(tokens: number, embd: number, seqMax: number): RawBatch
  batch_free(batch: RawBatch): void
  decode: Async<[context: Pointer, batch: RawBatch], number>
  get_logits_ith(context: Pointer, index: number): Pointer | null
  get_embeddings_seq(context: Pointer, seq: number): Pointer | null
  vocab_n_tokens(vocab: Pointer): number
  vocab_is_eog(vocab: Pointer, token: number): boolean
  vocab_is_control(vocab: Pointer, token: number): boolean
  vocab_bos(vocab: Pointer): number
  vocab_eos(vocab: Pointer): number
  vocab_fim_pre(vocab: Pointer): number
  vocab_fim_suf(vocab: Pointer): number
  vocab_fim_mid(vocab: Pointer): number
  vocab_fim_rep(vocab: Pointer): number
  vocab_fim_sep(vocab: Pointer): number
  vocab_get_add_bos(vocab: Pointer): boolean
  tokenize(
    vocab: Pointer,
    text: Uint8Array,
    length: number,
    tokens: Int32Array,
    max: number,
    addSpecial: boolean,
    parseSpecial: boolean,
  ): number
  token_to_piece(
    vocab: Pointer,
    token: number,
    buffer: Uint8Array,
    length: number,
    lstrip: number,
    special: boolean,
  ): number
  detokenize(
    vocab: Pointer,
    tokens: Int32Array,
    count: number,
    text: Uint8Array,
    max: number,
    removeSpecial: boolean,
    unparseSpecial: boolean,
  ): number
  sampler_chain_init(params: { no_perf: boolean }): Pointer
  sampler_chain_add(chain: Pointer, sampler: Pointer): void
  sampler_free(sampler: Pointer): void
  sampler_sample(sampler: Pointer, context: Pointer, index: number): number
  sampler_accept(sampler: Pointer, token: number): void
  sampler_apply(sampler: Pointer, candidates: Pointer): void
  sampler_init_greedy(): Pointer
  sampler_init_dist(seed: number): Pointer
  sampler_init_top_k(k: number): Pointer
  sampler_init_top_p(p: number, minKeep: number): Pointer
  sampler_init_min_p(p: number, minKeep: number): Pointer
  sampler_init_typical(p: number, minKeep: number): Pointer
  sampler_init_top_n_sigma(n: number): Pointer
  sampler_init_xtc(p: number, t: number, minKeep: number, seed: number): Pointer
  sampler_init_temp(t: number): Pointer
  sampler_init_dry(
    vocab: Pointer,
    multiplier: number,
    base: number,
    allowed: number,
    lastN: number,
    breakers: string[],
    count: number,
  ): Pointer
  sampler_init_infill(vocab: Pointer): Pointer
  /** null when the grammar does not parse */
  sampler_init_grammar(vocab: Pointer, grammar: string, root: string): Pointer | null
  sampler_init_grammar_lazy_patterns(
    vocab: Pointer,
    grammar: string,
    root: string,
    patterns: string[],
    count: number,
    tokens: Int32Array | null,
    tokenCount: number,
  ): Pointer | null
  adapter_lora_init: Async<[model: Pointer, path: string], Pointer | null>
  adapter_lora_free(adapter: Pointer): void
  set_adapters_lora(context: Pointer, adapters: Pointer[], count: number, scales: number[]): number
  state_seq_get_size(context: Pointer, seq: number): number | bigint
  state_seq_get_data(context: Pointer, target: Bytes, size: number, seq: number): number | bigint
  state_seq_set_data(context: Pointer, source: Bytes, size: number, seq: number): number | bigint
}
