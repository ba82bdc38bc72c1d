select
  category,
  row_number() over (partition by category order by revenue desc, product_id) as position,
  product_id,
  name,
  revenue,
  margin
from kpi.revenue_by_product
qualify position <= 2
