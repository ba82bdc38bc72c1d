SELECT shop, SUM(amount) AS revenue, COUNT(*) AS orders
FROM sales.orders
GROUP BY shop
