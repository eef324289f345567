/** The dashboard's words in English; their keys are the list that every language fills. */

export const en = {
  menu: 'Parts of the dashboard',
  skip: 'To the content',
  tabs: {
    overview: 'Overview',
    models: 'Models',
    requests: 'Requests',
    training: 'Training',
    datasets: 'Datasets',
    adapters: 'Adapters',
    settings: 'Settings',
    system: 'System',
  },
}

export type DashboardTexts = typeof en
