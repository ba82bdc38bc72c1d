{% import 'macros/sql.j2' as m %}
-- One row per order and product.
with unfolded as (
  select order_id, customer_id, shop_id, order_date, ordered_at, status, unnest(lines) as line
  from starbake.Orders
)
select
  u.order_id,
  u.customer_id,
  u.shop_id,
  u.order_date,
  u.ordered_at,
  u.status,
  u.line.product_id as product_id,
  u.line.quantity as quantity,
  u.line.unit_price as unit_price,
  {{ m.money('u.line.quantity * u.line.unit_price') }} as amount
from unfolded u
