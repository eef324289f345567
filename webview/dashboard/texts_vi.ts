/** The dashboard's words in Vietnamese. */
import type { DashboardTexts } from './texts_en.ts'

export const vi: DashboardTexts = {
  menu: 'Các phần của bảng điều khiển',
  skip: 'Tới nội dung',
  tabs: {
    overview: 'Tổng quan',
    models: 'Mô hình',
    requests: 'Yêu cầu',
    training: 'Huấn luyện',
    datasets: 'Bộ dữ liệu',
    adapters: 'Adapter',
    settings: 'Cài đặt',
    system: 'Hệ thống',
  },
}
