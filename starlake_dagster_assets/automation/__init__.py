"""What starts runs: sensors, schedules and conditions, made of the triggers of a project."""
