-- Orders whose customer never reached us: most often a row of the customers file that was rejected.
select o.order_id, o.customer_id, o.shop_id, o.order_date
from starbake.Orders o
left join starbake.Customers c
  on c.customer_id = o.customer_id
where o.customer_id is not null
  and c.customer_id is null
