{% import 'macros/sql.j2' as m %}
-- Spending of each member of the loyalty program, without cancelled orders.
with baskets as (
  select order_id, customer_id, order_date, sum(amount) as basket
  from kpi.order_lines
  where status <> 'cancelled'
  group by order_id, customer_id, order_date
),
spending as (
  select
    customer_id,
    count(*) as order_count,
    sum(basket) as total_spent,
    avg(basket) as average_basket,
    min(order_date) as first_order,
    max(order_date) as last_order
  from baskets
  group by customer_id
)
select
  c.customer_id,
  c.full_name,
  c.city,
  c.loyalty_tier,
  coalesce(s.order_count, 0) as order_count,
  {{ m.money('coalesce(s.total_spent, 0)') }} as lifetime_value,
  {{ m.money('coalesce(s.average_basket, 0)') }} as average_basket,
  s.first_order,
  s.last_order,
  rank() over (order by coalesce(s.total_spent, 0) desc) as spending_rank,
  rank() over (partition by c.city order by coalesce(s.total_spent, 0) desc) as rank_in_city
from starbake.Customers c
left join spending s
  on s.customer_id = c.customer_id
