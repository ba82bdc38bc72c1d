select product_id, name, category, price, updated_at
from starbake.Products
