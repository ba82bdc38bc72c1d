order_date, order_count, revenue
