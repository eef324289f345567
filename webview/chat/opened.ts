/** A panel that was opened has the keyboard, so that its first field is one Tab away. */
import { type RefObject, useEffect, useRef } from 'react'

export function useOpened(): RefObject<HTMLElement | null> {
  const panel = useRef<HTMLElement>(null)
  useEffect(() => panel.current?.focus(), [])
  return panel
}
