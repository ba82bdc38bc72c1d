"""Asset specs: what an asset shows and depends on before it is materialized."""
