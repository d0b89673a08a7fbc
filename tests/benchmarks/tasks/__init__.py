"""Files of tasks, put to endpoints."""
