/** A link to another page of the hub, or to a part of it: an address in a browser, a request to the editor in a panel. */
import type { ReactNode } from 'react'
import type { Bridge, PageName } from './bridge.ts'

type Props = { bridge: Bridge; to: PageName; route?: string; name?: string; children: ReactNode }

/** `left` is told when another panel was opened: this page stays where it is. */
export function PageLink({ left, ...props }: Props & { left?: () => void }) {
  const { bridge, to, route, name, children } = props
  const { pages } = bridge
  if ('address' in pages) {
    return (
      <a href={pages.address(to, route)} aria-label={name}>
        {children}
      </a>
    )
  }
  const open = (): void => {
    pages.open(to, route)
    left?.()
  }
  return (
    <button type="button" className="link" aria-label={name} onClick={open}>
      {children}
    </button>
  )
}
