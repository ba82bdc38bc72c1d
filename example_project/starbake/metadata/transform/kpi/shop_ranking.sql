{% import 'macros/sql.j2' as m %}
-- Revenue of each shop per day, with running total and rank.
select
  order_date,
  shop_id,
  shop_name,
  revenue,
  {{ m.money('sum(revenue) over running') }} as revenue_to_date,
  {{ m.money('avg(revenue) over (partition by shop_id order by order_date rows between 2 preceding and current row)') }} as average_of_3_days,
  revenue - lag(revenue) over running as change,
  rank() over (partition by order_date order by revenue desc) as rank_of_day
from kpi.daily_revenue
window running as (partition by shop_id order by order_date)
