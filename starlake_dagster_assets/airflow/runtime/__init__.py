"""Code that runs in Airflow tasks; it is exported as one module next to the DAG files."""
