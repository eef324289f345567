/** Addresses that lead into the chat page: `/#model=ID` begins a chat with a model, `/#compare=A,B` one with two side by side. */

export type Link = { model: string; second: string }

/** @param route what stands behind the # of the address; ids are encoded as parts of a URI */
export function readLink(route: string): Link | undefined {
  const [, kind, ids = ''] = /^(model|compare)=(.+)$/.exec(route) ?? []
  if (kind === undefined) return undefined
  try {
    const [model = '', second = ''] = (kind === 'model' ? [ids] : ids.split(',')).map(decodeURIComponent)
    return model === '' ? undefined : { model, second }
  } catch {
    // A percent sign that encodes nothing.
    return undefined
  }
}
