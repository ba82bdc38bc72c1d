{% import 'macros/sql.j2' as m %}
-- Cost of one piece: its recipe at current purchase prices.
with ingredients_of as (
  select product_id, unnest(recipe) as item
  from starbake.Products
),
costs as (
  select r.product_id, sum(r.item.grams * i.unit_cost) / 1000 as unit_cost, count(*) as ingredient_count
  from ingredients_of r
  join starbake.Ingredients i
    on i.ingredient_code = r.item.ingredient_code
  group by r.product_id
)
select
  p.product_id,
  p.name,
  p.category,
  p.price,
  c.ingredient_count,
  {{ m.money('c.unit_cost') }} as unit_cost,
  {{ m.money('p.price - c.unit_cost') }} as unit_margin
from starbake.Products p
join costs c
  on c.product_id = p.product_id
