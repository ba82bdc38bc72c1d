{% import 'macros/sql.j2' as m %}
-- The threshold comes from env.sl.yml or env.<name>.sl.yml.
select
  customer_id,
  full_name,
  city,
  loyalty_tier,
  lifetime_value,
  order_count,
  spending_rank,
  {{ m.share('lifetime_value', '') }} as share_of_best
from Customers.CustomerLifeTimeValue
where lifetime_value >= {{ high_value_threshold }}
