"""Files that arrive: paths, directory scans, and whether a run is due; free of Dagster."""
