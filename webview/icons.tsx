/** Small pictures of buttons; their names are on the buttons. */

const PATHS = {
  plus: 'M8 3v10M3 8h10',
  menu: 'M2.5 4.5h11M2.5 8h11M2.5 11.5h11',
  close: 'm4 4 8 8m0-8-8 8',
  send: 'M8 13V3M3.5 7.5 8 3l4.5 4.5',
  stop: 'M4.5 4.5h7v7h-7z',
  options: 'M2 5h6m4 0h2M2 11h2m4 0h6M10 3.5v3M6 9.5v3',
  chip: 'M4.5 4.5h7v7h-7zM6 2v2.5M10 2v2.5M6 11.5V14m4-2.5V14M2 6h2.5M2 10h2.5m7-4H14m-2.5 4H14',
  more: 'M3.5 8h.01M8 8h.01M12.5 8h.01',
  left: 'm10 3-5 5 5 5',
  right: 'm6 3 5 5-5 5',
  copy: 'M5.5 5.5h7v8h-7zM3.5 10.5v-8h7',
  edit: 'M3 13h2.5L13 5.5 10.5 3 3 10.5z',
  again: 'M13 8a5 5 0 1 1-1.5-3.5L13 6m0-3.500V6H9.500',
  forward: 'm3.500 4 4 4-4 4m5-8 4 4-4 4',
  good: 'M5 7v6H3V7zm0 0 3-4.500c1 0 1.500.800 1.300 1.800L9 6.500h3.300c.7 0 1 .6.9 1.200l-.8 4.300c-.1.600-.6 1-1.200 1H5',
  bad: 'M11 9V3h2v6zm0 0-3 4.500c-1 0-1.500-.8-1.300-1.800L7 9.500H3.700c-.7 0-1-.6-.9-1.200L3.600 4c.1-.6.6-1 1.200-1H11',
  search: 'M7 12A5 5 0 1 0 7 2a5 5 0 0 0 0 10zm3.600-1.400L14 14',
  gauge: 'M2.500 12a5.500 5.500 0 1 1 11 0M8 12l2.800-4',
  list: 'M3 4.500h10M3 8h10M3 11.500h6',
  curve: 'M2.500 2.500v11h11M5 5c1 4 3 5.500 8 6',
  stack:
    'M8 2.500c3 0 5 .9 5 2s-2 2-5 2-5-.9-5-2 2-2 5-2zM3 4.500v7c0 1.100 2 2 5 2s5-.9 5-2v-7M3 8c0 1.100 2 2 5 2s5-.9 5-2',
  plug: 'M4.500 6.500h7V9a3.500 3.500 0 0 1-7 0zM6 6.500V3m4 3.500V3M8 12.500V14.500',
  info: 'M8 7.500V11M8 5.200h.01M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12z',
  keyboard: 'M2 4.500h12v7H2zm2 2h.01M6.700 6.500h.01M9.300 6.500h.01M12 6.500h.01M5 9.500h6',
}
export type IconName = keyof typeof PATHS

export function Icon({ name }: { name: IconName }) {
  return (
    <svg className="icon" viewBox="0 0 16 16" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  )
}

/** A button that shows a picture and is called by its name. */
export function IconButton(props: {
  icon: IconName
  label: string
  onClick(): void
  disabled?: boolean
  pressed?: boolean
  className?: string
}) {
  const { icon, label, onClick, disabled, pressed, className } = props
  return (
    <button
      type="button"
      className={`icon-button ${className ?? ''}`}
      title={label}
      aria-label={label}
      aria-pressed={pressed}
      disabled={disabled}
      onClick={onClick}
    >
      <Icon name={icon} />
    </button>
  )
}
