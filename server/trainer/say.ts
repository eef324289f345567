/** The trainer's messages as lines for a person. */
import type { FromTrainer } from '../wire/trainer.ts'

/** One line without its end, or undefined for what only a program wants. */
export function describe(message: FromTrainer): string | undefined {
  switch (message.type) {
    case 'started': {
      const parity =
        message.parity === undefined
          ? ''
          : `; same as the serving engine to ${message.parity.maxProbabilityDifference.toExponential(1)}`
      const resumed = message.resumedStep > 0 ? `, going on from step ${message.resumedStep}` : ''
      const empty = message.emptySamples > 0 ? ` (${message.emptySamples} without a target left out)` : ''
      return [
        `${message.architecture} on ${message.device}, ${message.trainableParameters} trained numbers${parity}`,
        `${message.samples} samples${empty}, ${message.validationSamples} for validation, ${message.totalSteps} steps of rows of ${message.rowTokens} tokens${resumed}`,
        `memory: weights ${size(message.weightsBytes)}, parameters ${size(message.parameterBytes)}, compute ${size(message.computeBytes)}`,
      ].join('\n')
    }
    case 'progress': {
      const validation = message.validationLoss === undefined ? '' : `  validation ${message.validationLoss.toFixed(4)}`
      const pairs =
        message.accuracy === undefined
          ? ''
          : `  preferred ${Math.round(message.accuracy * 100)} %  margin ${message.margin?.toFixed(3)}`
      return `step ${message.step}/${message.totalSteps}  epoch ${message.epoch.toFixed(2)}  loss ${message.loss.toFixed(4)}${validation}${pairs}  rate ${message.rate.toExponential(2)}  gradient ${message.gradientNorm.toFixed(3)}  ${message.tokensPerSecond.toFixed(0)} tokens/s  ${size(message.rssBytes)}  left ${duration(message.leftS)}`
    }
    case 'validation':
      return `validation at step ${message.step}: ${message.loss.toFixed(4)}${message.best ? ', the best so far' : ''}`
    case 'unvalidated':
      return `validation at step ${message.step} says nothing: ${message.what}`
    case 'skipped':
      return `step ${message.step} was left out (${message.inRow} in a row): ${message.what}`
    case 'checkpoint':
      return `checkpoint of step ${message.step}: ${message.path} (${size(message.bytes)})`
    case 'paused':
      return `paused at step ${message.step}; the device is free`
    case 'resumed':
      return `resumed at step ${message.step}`
    case 'cancelled':
      return `stopped at step ${message.step}; start the same job again to go on from ${message.checkpoint}`
    case 'finished': {
      const best =
        message.bestValidationLoss === undefined
          ? ''
          : `, best validation ${message.bestValidationLoss.toFixed(4)} at step ${message.bestStep}`
      const early = message.reason === 'early_stop' ? ' (validation got no better)' : ''
      return `finished after ${message.steps} steps${early}: loss ${message.loss?.toFixed(4) ?? 'none'}${best}\nwrote ${message.output} (${size(message.bytes)})`
    }
    case 'failed': {
      const stands = message.checkpoint === undefined ? '' : `\nthe last checkpoint stands: ${message.checkpoint}`
      return `failed: ${message.error.message}${stands}`
    }
    case 'pong':
      return undefined
  }
}

function size(bytes: number): string {
  const mebibytes = bytes / 2 ** 20
  return mebibytes >= 1024 ? `${(mebibytes / 1024).toFixed(2)} GiB` : `${mebibytes.toFixed(1)} MiB`
}

function duration(seconds: number): string {
  if (seconds < 60) return `${Math.round(seconds)} s`
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`
  return `${(seconds / 3600).toFixed(1)} h`
}
