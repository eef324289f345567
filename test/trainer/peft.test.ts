/** PEFT adapters in and out: names, order of rows, scaling, the same logits after the round trip, and what is refused. */
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { readAdapter } from '../../server/trainer/adapter.ts'
import { FAMILIES } from '../../server/trainer/families/all.ts'
import { toHalf } from '../../server/trainer/gguf_write.ts'
import { exportPeft } from '../../server/trainer/peft_export.ts'
import { importPeft } from '../../server/trainer/peft_import.ts'
import { permuteRows } from '../../server/trainer/peft_names.ts'
import { randomAt } from '../../server/trainer/random.ts'
import { readSafeTensors, readValues } from '../../server/trainer/safetensors.ts'
import { engineLogits, largestDifference } from '../helpers/adapter_logits.ts'
import { temporary, writeFamilyModel } from '../helpers/family_models.ts'
import { type RandomAdapter, writeRandomAdapter } from '../helpers/random_adapter.ts'

type Place = { folder: string; base: string; adapter: string; peft: string; back: string }

function prepare(t: TestContext, architecture: string, options: RandomAdapter = {}): Place {
  const folder = temporary('peft')
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const at = (name: string) => join(folder, name)
  const place = { folder, base: at('base.gguf'), adapter: at('adapter.gguf'), peft: at('peft'), back: at('back.gguf') }
  writeFamilyModel(place.base, { architecture })
  writeRandomAdapter(place.adapter, place.base, options)
  return place
}

type Tensors = {
  [name: string]: { shape: number[]; values: ArrayLike<number>; dtype?: 'F32' | 'F16' | 'BF16' | 'I32' }
}
const CONFIG = { peft_type: 'LORA', r: 2, lora_alpha: 4, bias: 'none', base_model_name_or_path: 'team/model' }

/** A PEFT adapter as a program would write it. */
function writePeft(folder: string, tensors: Tensors, config: object = CONFIG): string {
  mkdirSync(folder, { recursive: true })
  const parts: Buffer[] = []
  const header: { [name: string]: unknown } = {}
  let at = 0
  for (const [name, { shape, values, dtype = 'F32' }] of Object.entries(tensors)) {
    const numbers = Array.from(values)
    const array =
      dtype === 'F32'
        ? Float32Array.from(numbers)
        : dtype === 'F16'
          ? Uint16Array.from(numbers, toHalf)
          : dtype === 'I32'
            ? Int32Array.from(numbers)
            : Uint16Array.from(new Uint32Array(Float32Array.from(numbers).buffer), bits => bits >>> 16)
    const bytes = Buffer.from(array.buffer)
    header[name] = { dtype, shape, data_offsets: [at, at + bytes.length] }
    parts.push(bytes)
    at += bytes.length
  }
  const text = Buffer.from(JSON.stringify(header))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(text.length))
  writeFileSync(join(folder, 'adapter_model.safetensors'), Buffer.concat([length, text, ...parts]))
  writeFileSync(join(folder, 'adapter_config.json'), JSON.stringify(config))
  return folder
}

const numbers = (count: number, seed: number): number[] => {
  const random = randomAt(seed, 5)
  // Eighths: exact in every type.
  return Array.from({ length: count }, () => Math.round(random() * 64 - 32) / 8)
}
const Q = 'base_model.model.model.layers.0.self_attn.q_proj'
const pairOf = (module: string, columns: number, rows: number, rank = 2): Tensors => ({
  [`${module}.lora_A.weight`]: { shape: [rank, columns], values: numbers(rank * columns, 1) },
  [`${module}.lora_B.weight`]: { shape: [rows, rank], values: numbers(rows * rank, 2) },
})

for (const { architecture } of FAMILIES) {
  test(`${architecture}: exported and imported again, an adapter is the same`, async t => {
    const { base, adapter, peft, back } = prepare(t, architecture)
    await exportPeft({ base: [base], adapter, output: peft, scale: 1 })
    const { tensors } = readSafeTensors(join(peft, 'adapter_model.safetensors'))
    assert.ok(
      tensors.every(({ name }) =>
        /^base_model\.model\.model\.layers\.[01]\.(self_attn|mlp)\.\w+_proj\.lora_[AB]\.weight$/.test(name),
      ),
    )
    const config = JSON.parse(readFileSync(join(peft, 'adapter_config.json'), 'utf8')) as { target_modules: string[] }
    const fused = architecture === 'phi3'
    assert.deepEqual(
      config.target_modules,
      fused
        ? ['down_proj', 'gate_up_proj', 'o_proj', 'qkv_proj']
        : ['down_proj', 'gate_proj', 'k_proj', 'o_proj', 'q_proj', 'up_proj', 'v_proj'],
    )
    const { rank, alpha } = await importPeft({ base: [base], source: peft, output: back })
    assert.deepEqual([rank, alpha], [4, 8])
    const [before, after] = [readAdapter(adapter), readAdapter(back)]
    assert.deepEqual(after.tensors, before.tensors)
    assert.equal(after.alpha, before.alpha)
    assert.equal(after.architecture, architecture)
  })
}

test('an imported adapter gives the logits of the exported one', async t => {
  const { base, adapter, peft, back } = prepare(t, 'llama', { alpha: 12 })
  await exportPeft({ base: [base], adapter, output: peft, scale: 0.5 })
  await importPeft({ base: [base], source: peft, output: back })
  const tokens = [5, 80, 13, 200, 7, 99, 31]
  const first = engineLogits(base, tokens, { path: adapter, scale: 0.5 })
  const second = engineLogits(base, tokens, { path: back, scale: 1 })
  assert.ok(largestDifference(first, engineLogits(base, tokens)) > 0.1)
  assert.ok(largestDifference(first, second) < 1e-5)
})

test('rows in the two orders give the same attention under the two ways of rotating', () => {
  const [heads, size, rank] = [2, 8, 3]
  const random = randomAt(1, 6)
  const draw = (count: number) => Float32Array.from({ length: count }, () => random() - 0.5)
  const [q, k] = [draw(heads * size * rank), draw(heads * size * rank)]
  const angle = (position: number, j: number) => position * 10000 ** ((-2 * j) / size)
  const score = (
    order: 'gguf' | 'peft',
    head: number,
    qx: Float32Array,
    kx: Float32Array,
    at: [number, number],
  ): number => {
    const rotated = (rows: Float32Array, x: Float32Array, position: number): number[] => {
      const ordered = order === 'gguf' ? permuteRows(rows, rank, heads, 'gguf') : rows
      const out = Array.from({ length: size }, (_, row) =>
        x.reduce((sum, value, column) => sum + value * ordered[(head * size + row) * rank + column]!, 0),
      )
      // GGUF's llama rotates neighbours, Hugging Face's the first half with the second.
      const result = [...out]
      for (let j = 0; j < size / 2; j++) {
        const [one, two] = order === 'gguf' ? [2 * j, 2 * j + 1] : [j, j + size / 2]
        const [cos, sin] = [Math.cos(angle(position, j)), Math.sin(angle(position, j))]
        result[one] = out[one]! * cos - out[two]! * sin
        result[two] = out[one]! * sin + out[two]! * cos
      }
      return result
    }
    const [a, b] = [rotated(q, qx, at[0]), rotated(k, kx, at[1])]
    return a.reduce((sum, value, index) => sum + value * b[index]!, 0)
  }
  for (let head = 0; head < heads; head++) {
    const [qx, kx] = [draw(rank), draw(rank)]
    const [gguf, peft] = [score('gguf', head, qx, kx, [7, 3]), score('peft', head, qx, kx, [7, 3])]
    assert.ok(Math.abs(gguf - peft) < 1e-6, `${gguf} and ${peft}`)
  }
  assert.deepEqual(permuteRows(permuteRows(q, rank, heads, 'gguf'), rank, heads, 'peft'), q)
})

test('16-bit weights are read as they are, and B of Q lies in the order of the GGUF', async t => {
  const { base, folder, back } = prepare(t, 'llama')
  for (const dtype of ['F32', 'F16', 'BF16'] as const) {
    const tensors = Object.fromEntries(
      Object.entries(pairOf(Q, 64, 64)).map(([name, tensor]) => [name, { ...tensor, dtype }]),
    )
    await importPeft({ base: [base], source: writePeft(join(folder, dtype), tensors), output: back })
    const { tensors: read } = readAdapter(back)
    assert.deepEqual([...read.get('blk.0.attn_q.weight.lora_a')!.values], numbers(2 * 64, 1))
    const b = read.get('blk.0.attn_q.weight.lora_b')!.values
    const given = numbers(64 * 2, 2)
    // Heads of 16 rows: row 1 here is row 8 there, row 2 is row 1.
    assert.deepEqual([...b.subarray(0, 6)], [...given.slice(0, 2), ...given.slice(16, 18), ...given.slice(2, 4)])
  }
})

test('ranks and alphas of single modules, and rank-stabilised scaling, keep their scale', async t => {
  const { base, folder, back } = prepare(t, 'qwen2')
  const V = Q.replace('q_proj', 'v_proj')
  const tensors = { ...pairOf(Q, 64, 64, 2), ...pairOf(V, 64, 32, 4) }
  const patterns = { rank_pattern: { 'layers\\.\\d+\\.self_attn\\.v_proj': 4 }, alpha_pattern: { v_proj: 6 } }
  const scaleOf = (target: string): number => {
    const { alpha, tensors: read } = readAdapter(back)
    const { shape, values } = read.get(`blk.0.${target}.weight.lora_b`)!
    const given = numbers(values.length, 2)
    const at = given.findIndex(value => value !== 0)
    return ((alpha / shape[0]!) * values[at]!) / given[at]!
  }
  await importPeft({
    base: [base],
    source: writePeft(join(folder, 'a'), tensors, { ...CONFIG, ...patterns }),
    output: back,
  })
  assert.equal(scaleOf('attn_q'), 4 / 2)
  assert.equal(scaleOf('attn_v'), 6 / 4)
  const stabilised = { ...CONFIG, ...patterns, use_rslora: true }
  await importPeft({ base: [base], source: writePeft(join(folder, 'b'), tensors, stabilised), output: back })
  assert.ok(Math.abs(scaleOf('attn_q') - 4 / Math.sqrt(2)) < 1e-6)
  assert.ok(Math.abs(scaleOf('attn_v') - 6 / Math.sqrt(4)) < 1e-6)
})

test('what an adapter GGUF cannot say is refused by its name', async t => {
  const { base, folder, back } = prepare(t, 'llama')
  const good = pairOf(Q, 64, 64)
  let count = 0
  const refuses = (tensors: Tensors, config: object, message: RegExp, code = 'invalid_request') =>
    assert.rejects(
      importPeft({ base: [base], source: writePeft(join(folder, `bad${++count}`), tensors, config), output: back }),
      { code, message },
    )
  const extra = (name: string, shape = [64]) => ({
    ...good,
    [name]: {
      shape,
      values: numbers(
        shape.reduce((a, b) => a * b),
        1,
      ),
    },
  })
  await refuses(good, { ...CONFIG, use_dora: true }, /use_dora/)
  await refuses(extra(`${Q}.lora_magnitude_vector`), CONFIG, /lora_magnitude_vector.*DoRA/)
  await refuses(good, { ...CONFIG, modules_to_save: ['lm_head'] }, /modules_to_save/)
  await refuses(extra('base_model.model.lm_head.modules_to_save.weight', [2, 64]), CONFIG, /modules_to_save/)
  await refuses(
    extra('base_model.model.model.embed_tokens.lora_embedding_A', [2, 9]),
    CONFIG,
    /lora_embedding_A.*embedding/,
  )
  await refuses(extra('base_model.model.model.embed_tokens.weight', [2, 64]), CONFIG, /embed_tokens.*whole embedding/)
  await refuses(good, { ...CONFIG, bias: 'lora_only' }, /bias is "lora_only"/)
  await refuses(good, { ...CONFIG, fan_in_fan_out: true }, /fan_in_fan_out/)
  await refuses(good, { ...CONFIG, init_lora_weights: 'pissa' }, /pissa/)
  await refuses(good, { ...CONFIG, peft_type: 'LOHA' }, /LOHA/)
  await refuses(good, { ...CONFIG, r: 0 }, /r: /)
  await refuses(good, { ...CONFIG, r: 8 }, /has the rank 2, and adapter_config.json says 8/)
  await refuses(
    pairOf(Q.replace('q_proj', 'experts'), 64, 64),
    CONFIG,
    /self_attn\.experts is not one of llama.*q_proj/,
  )
  await refuses(pairOf('base_model.model.vision_tower.layers.0.self_attn.q_proj', 64, 64), CONFIG, /vision_tower/)
  await refuses(pairOf(Q, 32, 64), CONFIG, /64 x 32.*is 64 x 64/, 'conflict')
  await refuses(pairOf(Q.replace('.0.', '.7.'), 64, 64), CONFIG, /has no blk\.7\.attn_q/, 'conflict')
  await refuses({ [`${Q}.lora_A.weight`]: good[`${Q}.lora_A.weight`]! }, CONFIG, /only one of lora_A and lora_B/)
  await refuses({}, CONFIG, /no LoRA tensors/)
  const whole = Object.fromEntries(
    Object.entries(good).map(([name, tensor]) => [name, { ...tensor, dtype: 'I32' as const }]),
  )
  await refuses(whole, CONFIG, /as I32/)
  const nan = { ...good, [`${Q}.lora_B.weight`]: { shape: [64, 2], values: numbers(128, 2).with(3, Number.NaN) } }
  await refuses(nan, CONFIG, /not finite/)
  const pickled = join(folder, 'pickled')
  mkdirSync(pickled)
  writeFileSync(join(pickled, 'adapter_model.bin'), '')
  await assert.rejects(importPeft({ base: [base], source: pickled, output: back }), { message: /safe_serialization/ })
  await assert.rejects(importPeft({ base: [base], source: join(folder, 'no'), output: back }), {
    message: /is not there/,
  })
})

test('a damaged safetensors file is refused', async t => {
  const { folder } = prepare(t, 'llama')
  const path = join(writePeft(join(folder, 'x'), pairOf(Q, 64, 64)), 'adapter_model.safetensors')
  const whole = readFileSync(path)
  const [tensor] = readSafeTensors(path).tensors
  assert.deepEqual([...readValues(path, tensor!)], numbers(128, 1))
  for (const bytes of [
    whole.subarray(0, 4),
    whole.subarray(0, 40),
    whole.subarray(0, -1),
    Buffer.alloc(64, 1),
    Buffer.from(whole).fill('x', 8, 12),
  ]) {
    writeFileSync(path, bytes)
    assert.throws(() => readSafeTensors(path), { code: 'invalid_request' })
  }
})
