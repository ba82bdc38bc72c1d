{% import 'macros/sql.j2' as m %}
-- Incremental: with a window, only its days are computed and replaced; without a window, all days.
select
  l.order_date,
  s.shop_id,
  s.shop_name,
  s.city,
  count(distinct l.order_id) as order_count,
  {{ m.money('sum(l.amount)') }} as revenue
from kpi.order_lines l
join reference.Shops s
  on s.shop_id = l.shop_id
where l.status <> 'cancelled'
{% if sl_start_date %}
  and l.order_date >= cast('{{ sl_start_date }}' as date)
{% endif %}
{% if sl_end_date %}
  and l.order_date < cast('{{ sl_end_date }}' as date)
{% endif %}
group by l.order_date, s.shop_id, s.shop_name, s.city
