/** A link to another page of the hub, or to a part of it: an address in a browser, a request to the editor in a panel. */
import type { ReactNode } from 'react'
import type { Bridge, PageName } from './bridge.ts'

export function PageLink(props: { bridge: Bridge; to: PageName; route?: string; name?: string; children: ReactNode }) {
  const { bridge, to, route, name, children } = props
  const { pages } = bridge
  if ('address' in pages) {
    return (
      <a href={pages.address(to, route)} aria-label={name}>
        {children}
      </a>
    )
  }
  return (
    <button type="button" className="link" aria-label={name} onClick={() => pages.open(to, route)}>
      {children}
    </button>
  )
}
