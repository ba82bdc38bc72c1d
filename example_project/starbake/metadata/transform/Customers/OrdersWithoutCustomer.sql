-- Orders whose customer is unknown, usually because the row of the customer was rejected.
select o.order_id, o.customer_id, o.shop_id, o.order_date
from starbake.Orders o
left join starbake.Customers c
  on c.customer_id = o.customer_id
where o.customer_id is not null
  and c.customer_id is null
