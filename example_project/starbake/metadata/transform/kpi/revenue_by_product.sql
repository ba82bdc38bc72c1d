{% import 'macros/sql.j2' as m %}
with sales as (
  select product_id, sum(quantity) as sold, sum(amount) as revenue
  from kpi.order_lines
  where status <> 'cancelled'
  group by product_id
)
select
  p.product_id,
  p.name,
  p.category,
  cast(coalesce(s.sold, 0) as bigint) as sold,
  {{ m.money('coalesce(s.revenue, 0)') }} as revenue,
  {{ m.money('coalesce(s.revenue, 0) - coalesce(s.sold, 0) * c.unit_cost') }} as margin,
  {{ m.share('coalesce(s.revenue, 0)', 'partition by p.category') }} as share_of_category,
  rank() over (order by coalesce(s.revenue, 0) desc) as revenue_rank
from starbake.Products p
left join sales s
  on s.product_id = p.product_id
left join Products.ProductCost c
  on c.product_id = p.product_id
