/** What the suite in the extension host tells the process that started it. */

export type Outcome = { name: string; ms: number; error?: string }
export type Report = { outcomes: Outcome[]; activationMs: number; host: string }

/** Environment variable with the file for it; without one it goes into the workspace. */
export const REPORT = 'AI_HUB_HOST_REPORT'
