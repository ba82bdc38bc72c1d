"""Files that arrive: where they are waited for, what a look sees of them, and whether a run is due; free of Dagster."""
