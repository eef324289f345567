/** A part of a tab with a heading and what belongs to it. */
import type { ReactNode } from 'react'

export function Card(props: { title: string; more?: ReactNode; className?: string; children: ReactNode }) {
  const { title, more, className = '', children } = props
  return (
    <section className={`card ${className}`}>
      <div className="card-head">
        <h2>{title}</h2>
        {more}
      </div>
      {children}
    </section>
  )
}
