/** The parts of the dashboard, and how the page's route names them: `models`, `training/JOB`. */

export const TABS = [
  'overview',
  'models',
  'requests',
  'training',
  'datasets',
  'adapters',
  'settings',
  'system',
] as const
export type Tab = (typeof TABS)[number]

/** @returns the tab, and what stands behind it in the route; an unknown one is the overview */
export function readRoute(route: string): { tab: Tab; rest: string } {
  const [name, ...rest] = route.split('/')
  const tab = TABS.find(each => each === name)
  return tab === undefined ? { tab: 'overview', rest: '' } : { tab, rest: rest.join('/') }
}

export function writeRoute(tab: Tab, rest = ''): string {
  return rest === '' ? tab : `${tab}/${rest}`
}
